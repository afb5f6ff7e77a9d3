"""Losses of quality as measured on samples: with an interval, and judged only where the samples can show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .intervals import (
    Interval,
    grouped_share_interval,
    interval_text,
    mean_interval,
    needed_samples,
    paired_loss_interval,
    within_limit,
)


# The figures of the baseline itself: it loses nothing, however few samples there are.
NOTHING: dict[str, Any] = {"loss": 0.0, "loss_interval": [0.0, 0.0], "loss_samples": 0, "loss_variance": 0.0}
UNKNOWN: dict[str, Any] = {"loss": None, "loss_interval": None, "loss_samples": 0, "loss_variance": 0.0}
# The approximate half width of a t distribution's interval in standard deviations, to recover a variance from it.
HALF_WIDTH = 1.96


@dataclass(frozen=True)
class Loss:
    """
    A loss of quality.

    Args:
        value (`float`): measured loss.
        interval ([`~utils.intervals.Interval`], *optional*): 95% interval; `None` if there are too few samples.
        samples (`int`): number of samples that it was measured on.
        variance (`float`): variance of the loss of one sample.
    """

    value: float
    interval: Interval | None
    samples: int
    variance: float = 0.0

    def figures(self) -> dict[str, Any]:
        """The figures for the row of a benchmark."""
        return {
            "loss": self.value,
            "loss_interval": None if self.interval is None else list(self.interval),
            "loss_samples": self.samples,
            "loss_variance": self.variance,
        }

    def within(self, limit: float) -> bool | None:
        """Whether it is within a limit; `None` if the samples cannot show it."""
        return within_limit(self.interval, limit)

    def text(self, unit: str = "samples") -> str:
        """`95% interval -0.20% to 1.30%, 400 samples`"""
        return f"{interval_text(self.interval)}, {self.samples} {unit}"

    def undecided(self, limit: float, unit: str = "samples") -> str:
        """`undecided: about 400 samples would decide`"""
        needed = needed_samples(limit, self.value, self.variance)
        if needed is None:
            return "undecided: no number of samples would decide, as the loss is the limit"
        # An estimate from few samples is unreliable. In any case, more samples than these are needed.
        return f"undecided: about {max(needed, self.samples + 1)} {unit} would decide"


def accuracy_loss(full: np.ndarray, own: np.ndarray) -> Loss:
    """
    The accuracy loss of one model relative to another one on the same samples.

    Args:
        full (`np.ndarray` bool `[samples]`): whether the other model is right.
        own (`np.ndarray` bool `[samples]`): whether this model is right.
    """
    full, own = np.asarray(full, bool), np.asarray(own, bool)
    lost, gained, count = int((full & ~own).sum()), int((own & ~full).sum()), len(full)
    value = (lost - gained) / count
    return Loss(value, paired_loss_interval(lost, gained, count), count, (lost + gained) / count - value**2)


def disagreement(different: Sequence[np.ndarray]) -> Loss:
    """
    The share of tokens that differ. Tokens of one text may depend on each other.

    Args:
        different (`Sequence[np.ndarray]`): whether the tokens differ, bool `[tokens]` for each text.
    """
    wrong, counts = [int(part.sum()) for part in different], [len(part) for part in different]
    interval, count = grouped_share_interval(wrong, counts), sum(counts)
    value = sum(wrong) / count
    return Loss(value, interval, count, _variance(interval, count) if value else 0.0)


def mean_loss(sums: Sequence[float] | np.ndarray, counts: Sequence[float] | np.ndarray | None = None) -> Loss:
    """
    The mean of numeric losses.

    Args:
        sums (`Sequence[float]`): sum of each group of observations, see [`~utils.intervals.mean_interval`].
        counts (`Sequence[float]`, *optional*): number of observations in each group. If not set: 1.
    """
    totals = np.asarray(sums, np.float64)
    sizes = np.ones_like(totals) if counts is None else np.asarray(counts, np.float64)
    interval, count = mean_interval(totals, sizes), int(sizes.sum())
    return Loss(
        float(totals.sum() / sizes.sum()), interval, count, 0.0 if interval is None else _variance(interval, count)
    )


def _variance(interval: Interval, count: int) -> float:
    return count * ((interval.high - interval.low) / 2 / HALF_WIDTH) ** 2


def loss_phrase(value: float, name: str, gain: str = "") -> str:
    """
    Gives a loss in words. A loss below 0 has its own name.

    Args:
        value (`float`): value of the loss.
        name (`str`): name of the loss, for example `"accuracy loss"`.
        gain (`str`, *optional*): name of a loss below 0, with a place for percentage points.
    """
    points = round(-100 * value, 2)
    return (
        gain.format(points) if gain and points > 0 else f"{name} {max(-points, 0.0) if gain else -points + 0.0:.2f}%"
    )


def share_text(value: float, interval: Sequence[float] | None, samples: int, unit: str = "samples") -> str:
    """`95.00% (95% interval 75.13% to 99.87%, 20 samples)`"""
    return f"{value:.2%} ({interval_text(interval)}, {samples} {unit})"
