"""How a benchmark is run."""

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..precision import PRECISIONS
from .errors import BenchmarkError


if TYPE_CHECKING:
    from ..data.samples import Columns

# What names of models and variants consist of: they become parts of keys and file names.
NAME = re.compile(r"[A-Za-z0-9._+-]{1,64}")
OFF, ON = "off", "on"
# Those that change neither what is asked nor how it is timed: a run may go on with others.
NOT_MEASURED_BY = ("repeats", "max_loss", "progress")


@dataclass(frozen=True)
class BenchmarkArguments:
    """
    What is measured, and how.

    Args:
        max_samples (`int`, *optional*):
            Prompts or samples to use at most: prompts evenly spaced over the data, samples drawn. Unset: all.
        precision (`str`, *optional*, defaults to `"fast"`): `"fast"` or `"exact"`, as in `from_pretrained`.
        repeats (`int`, *optional*, defaults to 5): of everything; medians are reported.
        seed (`int`, *optional*, defaults to 0): of the order, the samples drawn and the noise of pictures.
        threads (`int`, *optional*): of OpenVINO. Unset: what it chooses.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        max_loss (`float`, *optional*, defaults to 0.01):
            The quality that may be lost, against the first model run plainly: accuracy, or the share of other answers
            without labels; the relative rise of perplexity; or 1 - SSIM.
        dynamic (`dict[str, Any]`, *optional*):
            Options of the calls with dynamic execution on. Of decoders those of `generate`, by default
            `{"speculation": "auto"}`; of classifiers the fields of an [`~early_exit.EarlyExitConfig`], by default the
            calibrated thresholds; of diffusion pipelines those of their call's `dynexec`, and `num_inference_steps`.
        variants (`dict[str, dict[str, Any]]`, *optional*, defaults to none):
            Further options by the name to give them, each measured as `dynamic` is: points of a Pareto curve.
        max_new_tokens (`int`, *optional*, defaults to 128): of a decoder's answers.
        perplexity_data (`list[str]`, *optional*, defaults to none):
            Held-out texts that a decoder's perplexity is measured on, as [`~data.texts.read_texts`] takes them.
        perplexity_window (`int`, *optional*, defaults to 1024): tokens of a window.
        perplexity_stride (`int`, *optional*, defaults to 512): tokens from one window to the next.
        max_perplexity_tokens (`int`, *optional*, defaults to 16384): of the text, at most.
        batch_sizes (`tuple[int, ...]`, *optional*, defaults to `(1, 8, 32)`): of classifiers; the first leads.
        max_length (`int`, *optional*, defaults to 128): of a classifier's texts, in tokens.
        columns ([`~data.samples.Columns`], *optional*): where in a row of a classifier's data things stand.
        num_inference_steps (`int`, *optional*, defaults to 50): of diffusion pipelines.
        guidance_scale (`float`, *optional*): of diffusion pipelines. Unset: theirs.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.

    Raises:
        [`~benchmark.BenchmarkError`]: if a value is not acceptable.
    """

    max_samples: int | None = None
    precision: str = "fast"
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
            raise BenchmarkError(f"`batch_sizes` must be different numbers from 1, but it is {self.batch_sizes!r}")
        if not 0 <= self.max_loss < 1:
            raise BenchmarkError(f"`max_loss` must be from 0 to below 1, but it is {self.max_loss!r}")
        if self.perplexity_window <= self.perplexity_stride:
            raise BenchmarkError(
                f"`perplexity_window` must be more than `perplexity_stride`, but they are {self.perplexity_window} and"
                f" {self.perplexity_stride}"
            )
        for name in self.variants:
            check_name("a variant", name)
            if name in (OFF, ON):
                raise BenchmarkError(f"a variant cannot be called {name!r}, as plain and dynamic execution are")

    def setting(self) -> dict[str, Any]:
        """All that a figure depends on, as JSON can hold it."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_MEASURED_BY}


def check_name(what: str, name: str) -> None:
    """
    Checks a name that was given.

    Raises:
        [`~benchmark.BenchmarkError`]: if it has characters that it must not have.
    """
    if NAME.fullmatch(name) is None:
        raise BenchmarkError(f"the name of {what} must be 1 to 64 letters, digits or ._+-, but it is {name!r}")
