"""The configuration of early exit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..utils.numbers import is_finite, is_whole
from .criteria import criterion_class


# How skipped layers get the keys and values of a token, to which later tokens attend.
KV_MODES = ("deferred", "copy")


@dataclass(frozen=True)
class EarlyExitConfig:
    """
    When tokens or samples leave the model before its last layer, and what happens to the layers that they skip. The
    output is not that of the full model.

    Args:
        criterion (`str`, *optional*, defaults to `"max_prob"`):
            Criterion, one of [`~early_exit.criterion_names`].
        threshold (`float`, *optional*):
            Threshold of the criterion at all exits.
        thresholds (`Mapping[int, float]`, *optional*):
            Instead of `threshold`: a threshold for each exit, by its layer. Nothing leaves at other exits.
        kv (`str`, *optional*, defaults to `"deferred"`):
            `"deferred"`: when a later token needs the skipped layers, they run for all tokens that
            skipped them, in one pass; the cache is exact. `"copy"`: the skipped layers compute keys and values from
            the hidden state at the exit (CALM, arXiv 2207.07061). This is cheaper, but an approximation.
        prefill (`bool`, *optional*, defaults to `False`):
            Whether prompts may also leave early.
        deadline_ms (`float`, *optional*):
            Time limit of a call in milliseconds, for encoders only. Samples then leave at the last exit that can be
            reached in time, whatever the criterion says; the first exit is always reached. With a time limit,
            thresholds are optional.

    Raises:
        `ValueError`: if the value of a field is not accepted. The message names the field, the value and what is
            accepted.
    """

    criterion: str = "max_prob"
    threshold: float | None = None
    thresholds: Mapping[int, float] | None = None
    kv: str = "deferred"
    prefill: bool = False
    deadline_ms: float | None = None

    def __post_init__(self) -> None:
        criterion = criterion_class(self.criterion)
        unset = self.threshold is None and self.thresholds is None
        if (unset and self.deadline_ms is None) or not (self.threshold is None or self.thresholds is None):
            raise ValueError(
                "give either `threshold`, the same at all exits, such as EarlyExitConfig(threshold=0.9), or"
                f" `thresholds`, one for each exit layer; got threshold={self.threshold!r} and"
                f" thresholds={self.thresholds!r}. Only with `deadline_ms` may both be left out"
            )
        if self.kv not in KV_MODES:
            raise ValueError(f"`kv` must be one of {list(KV_MODES)}, but it is {self.kv!r}")
        if not isinstance(self.prefill, bool):
            raise ValueError(f"`prefill` must be True or False, but it is {self.prefill!r}")
        if self.deadline_ms is not None:
            object.__setattr__(self, "deadline_ms", _milliseconds(self.deadline_ms))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", criterion.check_threshold(self.threshold))
        elif not unset:
            object.__setattr__(self, "thresholds", _checked(self.thresholds, criterion.check_threshold))

    def thresholds_for(self, layers: Sequence[int]) -> list[float]:
        """
        The threshold at each exit of a model.

        Args:
            layers (`Sequence[int]`):
                The layers after which the model has exit heads, ascending.

        Returns:
            `list[float]`: one threshold for each layer; where nothing leaves, an infinity that no score passes.

        Raises:
            `ValueError`: if the model has no exit heads, or a threshold is for a layer without an exit head.
        """
        if not layers:
            raise ValueError(
                "early exit needs exit heads, but this model has none: train them with"
                " `optimum-cli dynexec train-heads`"
            )
        never = criterion_class(self.criterion).never()
        if self.thresholds is None:
            return [never if self.threshold is None else self.threshold] * len(layers)
        unknown = sorted(set(self.thresholds) - set(layers))
        if unknown:
            raise ValueError(
                f"`thresholds` has a threshold for layer {unknown[0]}, but the model has exit heads after"
                f" {list(layers)}"
            )
        return [self.thresholds.get(layer, never) for layer in layers]


def _milliseconds(value: object) -> float:
    if not is_finite(value) or value < 0:
        raise ValueError(f"`deadline_ms` must be a number of milliseconds of 0 or more, but it is {value!r}")
    return float(value)


def _checked(thresholds: object, check: Callable[[object], float]) -> dict[int, float]:
    if not isinstance(thresholds, Mapping) or not thresholds:
        raise ValueError(f"`thresholds` must map each exit layer to its threshold, but it is {thresholds!r}")
    for layer in thresholds:
        if not is_whole(layer) or layer < 0:
            raise ValueError(
                f"`thresholds` must have layers as keys, whole numbers of 0 or more, but one is {layer!r}"
            )
    return {int(layer): check(threshold) for layer, threshold in sorted(thresholds.items())}
