"""The arguments of a benchmark."""

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..precision import PRECISIONS
from .errors import BenchmarkError


if TYPE_CHECKING:
    from ..data.samples import Columns

# The characters of names of models and variants, which become parts of keys and file names.
NAME = re.compile(r"[A-Za-z0-9._+-]{1,64}")
OFF, ON = "off", "on"
# The fields that change neither the work nor its time: a run may resume with other values.
NOT_MEASURED_BY = ("repeats", "max_loss", "progress")


@dataclass(frozen=True)
class BenchmarkArguments:
    """
    The settings of a benchmark.

    Args:
        max_samples (`int`, *optional*):
            Maximum number of prompts or samples. Prompts are evenly spaced in the data; samples are drawn at
            random. If not set: all.
        precision (`str`, *optional*, defaults to `"auto"`):
            precision, as in `from_pretrained`. With `"fast"` and speculation `"auto"`, the same call can give
            different text from call to call.
        repeats (`int`, *optional*, defaults to 5): number of repeats; medians are reported.
        seed (`int`, *optional*, defaults to 0): random seed of the order, the samples and the noise of images.
        threads (`int`, *optional*): number of OpenVINO's threads. If not set: OpenVINO's choice.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        max_loss (`float`, *optional*, defaults to 0.01):
            Largest loss of quality, relative to the first model without dynamic execution: accuracy, or the share of
            answers that differ without labels; the relative rise of perplexity; or 1 - SSIM.
        dynamic (`dict[str, Any]`, *optional*):
            Options of the calls with dynamic execution. For decoders: arguments of `generate`, by default
            `{"speculation": "auto"}`. For classifiers: fields of an [`~early_exit.EarlyExitConfig`], by default the
            calibrated thresholds. For diffusion pipelines: fields of `dynexec`, and `num_inference_steps`.
        variants (`dict[str, dict[str, Any]]`, *optional*, defaults to `{}`):
            Further options by name, each measured like `dynamic`: points of a Pareto curve.
        max_new_tokens (`int`, *optional*, defaults to 128): maximum number of tokens in a decoder's answer.
        perplexity_data (`list[str]`, *optional*, defaults to `()`):
            Held-out texts for a decoder's perplexity, as accepted by [`~data.texts.read_texts`].
        perplexity_window (`int`, *optional*, defaults to 1024): number of tokens in a window.
        perplexity_stride (`int`, *optional*, defaults to 512): number of tokens from one window to the next.
        max_perplexity_tokens (`int`, *optional*, defaults to 16384): maximum number of tokens for the perplexity.
        batch_sizes (`tuple[int, ...]`, *optional*, defaults to `(1, 8, 32)`):
            batch sizes for classifiers. The report shows the first one first.
        max_length (`int`, *optional*, defaults to 128): maximum number of tokens in a classifier's text.
        columns ([`~data.samples.Columns`], *optional*): columns of a row of a classifier's data.
        num_inference_steps (`int`, *optional*, defaults to 50): number of denoising steps of diffusion pipelines.
        guidance_scale (`float`, *optional*): guidance scale of diffusion pipelines. If not set: the pipeline's.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.

    Raises:
        [`~benchmark.BenchmarkError`]: if a value is not accepted.
    """

    max_samples: int | None = None
    precision: str = "auto"
    repeats: int = 5
    seed: int = 0
    threads: int | None = None
    device: str = "CPU"
    max_loss: float = 0.01
    dynamic: dict[str, Any] | None = None
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    max_new_tokens: int = 128
    perplexity_data: list[str] = field(default_factory=list)
    perplexity_window: int = 1024
    perplexity_stride: int = 512
    max_perplexity_tokens: int = 16384
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    max_length: int = 128
    columns: "Columns | None" = None
    num_inference_steps: int = 50
    guidance_scale: float | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BenchmarkError(f"`precision` must be one of {list(PRECISIONS)}, but it is {self.precision!r}")
        counts = ("max_samples", "repeats", "threads", "max_new_tokens", "perplexity_stride", "max_length")
        for name in (*counts, "max_perplexity_tokens", "num_inference_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BenchmarkError(f"`{name}` must be at least 1, but it is {value!r}")
        object.__setattr__(self, "batch_sizes", tuple(self.batch_sizes))
        if not self.batch_sizes or min(self.batch_sizes) < 1 or len({*self.batch_sizes}) < len(self.batch_sizes):
            raise BenchmarkError(
                f"`batch_sizes` must be different whole numbers of at least 1, but it is {self.batch_sizes!r}"
            )
        if not 0 <= self.max_loss < 1:
            raise BenchmarkError(f"`max_loss` must be at least 0 and less than 1, but it is {self.max_loss!r}")
        if self.perplexity_window <= self.perplexity_stride:
            raise BenchmarkError(
                "`perplexity_window` must be greater than `perplexity_stride`, but they are"
                f" {self.perplexity_window} and {self.perplexity_stride}"
            )
        for name in self.variants:
            check_name("a variant", name)
            if name in (OFF, ON):
                raise BenchmarkError(
                    f"a variant cannot be called {name!r}: {OFF!r} is plain execution, and {ON!r} is execution with"
                    " `dynamic`. Choose another name"
                )

    def setting(self) -> dict[str, Any]:
        """The arguments that a figure depends on, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_MEASURED_BY}


def check_name(what: str, name: str) -> None:
    """
    Checks the name of a model or a variant.

    Raises:
        [`~benchmark.BenchmarkError`]: if the name contains a character that is not accepted.
    """
    if NAME.fullmatch(name) is None:
        raise BenchmarkError(f"the name of {what} must be 1 to 64 letters, digits or ._+-, but it is {name!r}")
