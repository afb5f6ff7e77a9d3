"""The arguments of a tuning."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..directory.errors import TuningError
from ..precision import PRECISIONS


if TYPE_CHECKING:
    from ..data.samples import Columns

OBJECTIVES = ("latency", "throughput")


@dataclass(frozen=True)
class TuningArguments:
    """
    Objective, limits and data of a tuning.

    Args:
        objective (`str`, *optional*, defaults to `"latency"`):
            `"latency"`: one request at a time. `"throughput"`: several together; for classifiers, the batch size is
            then also chosen.
        max_loss (`float`, *optional*, defaults to 0.01):
            For classifiers: largest accuracy loss relative to the full model, or without labels the share of answers
            that differ. Settings for decoders do not change their output.
        max_samples (`int`, *optional*):
            Maximum number of prompts, or for a classifier of chunks of 16 samples, drawn at random. If not set: 32
            prompts, or for a classifier the number of samples that shows that a loss is within `max_loss`.
        max_new_tokens (`int`, *optional*, defaults to 64): maximum number of tokens in a decoder's answer.
        max_length (`int`, *optional*, defaults to 128): maximum number of tokens in a classifier's text.
        time_limit (`float`, *optional*, defaults to 600):
            Time for the measurements, in seconds. A setting that is not shown to be faster by then is not chosen.
        batch_size (`int`, *optional*, defaults to 8): number of a decoder's prompts in a batch, for throughput.
        precisions (`tuple[str, ...]`, *optional*, defaults to `("fast", "exact")`): precisions to try.
        threads (`tuple[int, ...]`, *optional*):
            numbers of threads to try. If not set: half of the processors, and all processors.
        columns ([`~data.samples.Columns`], *optional*): columns of a row, for classifiers.
        seed (`int`, *optional*, defaults to 0): random seed of the drawn samples and their order.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.

    Raises:
        [`TuningError`]: if a value is not accepted.
    """

    objective: str = "latency"
    max_loss: float = 0.01
    max_samples: int | None = None
    max_new_tokens: int = 64
    max_length: int = 128
    time_limit: float = 600.0
    batch_size: int = 8
    precisions: tuple[str, ...] = ("fast", "exact")
    threads: tuple[int, ...] | None = None
    columns: "Columns | None" = None
    seed: int = 0
    device: str = "CPU"

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise TuningError(f"`objective` must be one of {list(OBJECTIVES)}, but it is {self.objective!r}")
        if not 0.0 <= self.max_loss < 1.0:
            raise TuningError(f"`max_loss` must be at least 0 and less than 1, but it is {self.max_loss!r}")
        unknown = [name for name in self.precisions if name not in PRECISIONS]
        if unknown or not self.precisions:
            raise TuningError(
                f"`precisions` must be one or more of {list(PRECISIONS)}, but they are {self.precisions!r}"
            )
        for name in ("max_samples", "max_new_tokens", "max_length", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TuningError(f"`{name}` must be at least 1, but it is {value!r}")
        if self.threads is not None:
            object.__setattr__(self, "threads", tuple(self.threads))
            if min(self.threads, default=1) < 1:
                raise TuningError(f"`threads` must be numbers of at least 1, but they are {self.threads!r}")
        if self.time_limit <= 0:
            raise TuningError(f"`time_limit` must be positive, but it is {self.time_limit!r}")
