"""Reuse in all steps except every n-th."""

from typing import ClassVar

import numpy as np

from .base import ReuseCriterion


class Interval(ReuseCriterion):
    """TaylorSeer's schedule (arXiv 2503.06923): `interval - 1` steps are extrapolated after each step that runs."""

    name: ClassVar[str] = "interval"

    def predictable(self, since_run: np.ndarray) -> np.ndarray:
        return since_run < self.interval - 1

    def why_not(self) -> str:
        return f"`interval` is {self.interval}, so the network runs in every step"
