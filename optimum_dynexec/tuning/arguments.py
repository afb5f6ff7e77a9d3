"""What is tried when a model is tuned."""

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
    How long a model is tuned, for what, and on what.

    Args:
        objective (`str`, *optional*, defaults to `"latency"`):
            `"latency"`: one request at a time. `"throughput"`: several together; the batch size is then chosen too,
            for classifiers.
        max_loss (`float`, *optional*, defaults to 0.01):
            Of classifiers: accuracy that may be lost against the full model, or without labels the share of other
            answers. What is tried of decoders does not change their output.
        max_samples (`int`, *optional*):
            Prompts, or 16 times as many samples of a classifier; drawn. Unset: 32 prompts; of a classifier's samples
            as many as it takes to show that a loss is within `max_loss`.
        max_new_tokens (`int`, *optional*, defaults to 64): of a decoder's answers.
        max_length (`int`, *optional*, defaults to 128): of a classifier's texts, in tokens.
        time_limit (`float`, *optional*, defaults to 600):
            In seconds, of the measurements. What is not shown to be faster by then is not chosen.
        batch_size (`int`, *optional*, defaults to 8): prompts at once of a decoder, for throughput.
        precisions (`tuple[str, ...]`, *optional*, defaults to `("fast", "exact")`): to try.
        threads (`tuple[int, ...]`, *optional*): to try. Unset: what the machine suggests.
        columns ([`~data.samples.Columns`], *optional*): where in a row things stand; of classifiers.
        seed (`int`, *optional*, defaults to 0): of what is drawn and of the order.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.

    Raises:
        [`TuningError`]: if a value is not acceptable.
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
            raise TuningError(f"`max_loss` must be from 0 to below 1, but it is {self.max_loss!r}")
        unknown = [name for name in self.precisions if name not in PRECISIONS]
        if unknown or not self.precisions:
            raise TuningError(f"`precisions` must be some of {sorted(PRECISIONS)}, but they are {self.precisions!r}")
        for name in ("max_samples", "max_new_tokens", "max_length", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TuningError(f"`{name}` must be at least 1, but it is {value!r}")
        if self.threads is not None:
            object.__setattr__(self, "threads", tuple(self.threads))
            if min(self.threads, default=1) < 1:
                raise TuningError(f"`threads` must be numbers from 1, but they are {self.threads!r}")
        if self.time_limit <= 0:
            raise TuningError(f"`time_limit` must be positive, but it is {self.time_limit!r}")
