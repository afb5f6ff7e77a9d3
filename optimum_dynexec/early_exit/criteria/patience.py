"""The number of consecutive exits that agree."""

import numpy as np

from ..statistics import NO_PREDICTION, ExitStatistics
from .base import Criterion


class PatienceCriterion(Criterion):
    """
    Leaves if the prediction has been the same at the exits before this one; the threshold is the number of these
    exits.

    PABEE (Zhou et al. 2020, arXiv 2006.04152). With two exits, the only threshold is 1: leave at the second if it
    agrees with the first. Nothing leaves at the first exit, so a model with one exit cannot use it.
    """

    name = "patience"
    accepted = "a whole number of exits of 1 or more"

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return threshold >= 1 and float(threshold).is_integer()

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        return run_lengths(statistics.prediction)

    def grid(self, num_exits: int) -> np.ndarray:
        if num_exits < 2:
            raise ValueError("the criterion 'patience' compares exits, so it needs at least 2 of them, but there is 1")
        return np.arange(num_exits - 1, 0, -1, dtype=np.float64)


def run_lengths(prediction: np.ndarray) -> np.ndarray:
    """
    For each exit, the number of exits directly before it with the same prediction.

    Args:
        prediction (`np.ndarray` int64 `[samples, exits]`):
            predictions; -1 where there is no prediction, which agrees with nothing.

    Returns:
        `np.ndarray` float64 `[samples, exits]`: the numbers of exits; 0 at the first exit.
    """
    lengths = np.zeros(prediction.shape)
    for index in range(1, prediction.shape[1]):
        same = (prediction[:, index] == prediction[:, index - 1]) & (prediction[:, index] != NO_PREDICTION)
        lengths[:, index] = np.where(same, lengths[:, index - 1] + 1, 0)
    return lengths
