"""The number of exits so far that agree with this one."""

import numpy as np

from ..statistics import NO_PREDICTION, ExitStatistics
from .base import Criterion


class VoteCriterion(Criterion):
    """
    Leaves if the prediction has enough votes: the threshold is the number of exits up to this one that agree. Unlike
    with `patience`, they need not be consecutive.

    Voting of internal classifiers (Sun et al. 2021, arXiv 2105.13792), without weights: their lambda is 0.
    """

    name = "vote"
    accepted = "a whole number of exits of 1 or more"

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return threshold >= 1 and float(threshold).is_integer()

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        prediction = statistics.prediction
        votes = [
            (prediction[:, : index + 1] == prediction[:, index, None]).sum(axis=1)
            for index in range(prediction.shape[1])
        ]
        return np.where(prediction == NO_PREDICTION, 0.0, np.stack(votes, axis=1).astype(np.float64))

    def grid(self, num_exits: int) -> np.ndarray:
        return np.arange(num_exits, 0, -1, dtype=np.float64)
