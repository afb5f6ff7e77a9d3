"""The difference between the two largest probabilities."""

import numpy as np

from ..statistics import ExitStatistics
from .base import Criterion, near_one


class MarginCriterion(Criterion):
    """
    Leaves if the largest probability exceeds the second largest by at least the threshold.

    CALM's softmax-based confidence measure (Schuster et al. 2022, arXiv 2207.07061).
    """

    name = "margin"
    accepted = "a number from 0 to 1"

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return 0.0 <= threshold <= 1.0

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        return statistics.margin

    def grid(self, num_exits: int) -> np.ndarray:
        return near_one()
