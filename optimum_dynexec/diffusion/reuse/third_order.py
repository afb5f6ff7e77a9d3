"""Reuse while the latent changes evenly."""

from typing import ClassVar

import numpy as np

from .base import ReuseCriterion


class ThirdOrder(ReuseCriterion):
    """
    AdaptiveDiffusion (arXiv 2410.09873, eq. 7): with d1, d2, d3 the mean absolute changes of the latent in the last
    three steps, the next step is predictable if |(d1 + d3) / 2 - d2| <= threshold * d2. That is the relative
    third-order difference of the latent.
    """

    name: ClassVar[str] = "third_order"

    def __init__(self, num_samples: int, threshold: float, interval: int):
        super().__init__(num_samples, threshold, interval)
        self._changes: list[np.ndarray] = []
        self._smallest: float | None = None  # relative difference

    def predictable(self, since_run: np.ndarray) -> np.ndarray:
        if len(self._changes) < 3:
            return np.zeros(self.num_samples, dtype=bool)
        first, second, third = self._changes
        difference = np.abs((first + third) / 2 - second)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(difference == 0, 0.0, difference / second)
        self._smallest = min(float(relative.min()), np.inf if self._smallest is None else self._smallest)
        return difference <= self.threshold * second

    def observe(self, change: np.ndarray) -> None:
        self._changes = [*self._changes[-2:], change]

    def why_not(self) -> str:
        if self._smallest is None:
            return "there were fewer than three steps before the last one, but the criterion needs three"
        return (
            f"the smallest relative third-order difference of the latent was {self._smallest:.3g}, above `threshold`"
            f" ({self.threshold})"
        )
