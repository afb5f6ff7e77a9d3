"""How a call leaves the model early."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..utils.numbers import is_finite, is_whole
from .criteria import criterion_class


# How the layers that a token skipped get its keys and values, which later tokens attend to.
KV_MODES = ("deferred", "copy")


@dataclass(frozen=True)
class EarlyExitConfig:
    """
    When tokens leave the model before its last layer, and what then becomes of the layers they skipped. The output is
    not that of the full model.

    Args:
        criterion (`str`, *optional*, defaults to `"max_prob"`):
            One of [`~early_exit.criterion_names`].
        threshold (`float`, *optional*):
            The same at all exits.
        thresholds (`Mapping[int, float]`, *optional*):
            One for each exit by its layer, instead; at other exits nothing leaves.
        kv (`str`, *optional*, defaults to `"deferred"`):
            `"deferred"`: when a later token needs the layers that were skipped, they are run for all tokens that
            skipped them, in one pass; the cache is exact. `"copy"`: those layers compute keys and values from the
            hidden state the token left with (CALM, arXiv 2207.07061); cheaper, and an approximation.
        prefill (`bool`, *optional*, defaults to `False`):
            Whether prompts may leave early too.
        deadline_ms (`float`, *optional*):
            Milliseconds after which a call is to end, of encoders only: samples then leave, whatever the criterion
            says, at the last exit that can be reached in time; the first exit is always reached. With it, thresholds
            may be left out.

    Raises:
        `ValueError`: if a field's value is not acceptable; the message names the field, the value and what is
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
                "give either `threshold`, the same at all exits, or `thresholds`, one for each layer to leave after,"
                f" but they are {self.threshold!r} and {self.thresholds!r}; only with `deadline_ms` may both"
                " be left out"
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
                The layers that the model has exit heads after, ascending.

        Returns:
            `list[float]`: as long as `layers`; where nothing leaves, an infinity that no score passes.

        Raises:
            `ValueError`: if the model has no exits, or a threshold is for a layer that is none.
        """
        if not layers:
            raise ValueError(
                "early exit needs exit heads, which this model has none of: train them with"
                " `optimum-cli dynexec train-heads`"
            )
        never = criterion_class(self.criterion).never()
        if self.thresholds is None:
            return [never if self.threshold is None else self.threshold] * len(layers)
        unknown = sorted(set(self.thresholds) - set(layers))
        if unknown:
            raise ValueError(
                f"`thresholds` has one for layer {unknown[0]}, but the model has exit heads after {list(layers)}"
            )
        return [self.thresholds.get(layer, never) for layer in layers]


def _milliseconds(value: Any) -> float:
    if not is_finite(value) or value < 0:
        raise ValueError(f"`deadline_ms` must be a number of milliseconds from 0, but it is {value!r}")
    return float(value)


def _checked(thresholds: Any, check: Any) -> dict[int, float]:
    if not isinstance(thresholds, Mapping) or not thresholds:
        raise ValueError(f"`thresholds` must have a threshold for each layer to leave after, but is {thresholds!r}")
    for layer in thresholds:
        if not is_whole(layer) or layer < 0:
            raise ValueError(f"`thresholds` must have layers from 0 as keys, but one is {layer!r}")
    return {int(layer): check(threshold) for layer, threshold in sorted(thresholds.items())}
