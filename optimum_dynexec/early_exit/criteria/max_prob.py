"""The probability of the most probable token or class."""

import numpy as np

from ..statistics import ExitStatistics
from .base import Criterion, near_one


class MaxProbCriterion(Criterion):
    """
    Leaves if the largest probability is at least the threshold.

    The internal classifiers of Shallow-Deep Networks (Kaya et al. 2019, arXiv 1810.07052) use it. It is also known as
    softmax response or confidence.
    """

    name = "max_prob"
    accepted = "a number from 0 to 1"

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return 0.0 <= threshold <= 1.0

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        return statistics.max_prob

    def grid(self, num_exits: int) -> np.ndarray:
        return near_one()
