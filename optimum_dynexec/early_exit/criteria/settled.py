"""The similarity of an embedding to the embedding at the previous exit."""

import numpy as np

from ..statistics import ExitStatistics
from .base import Criterion, near_one


class SettledCriterion(Criterion):
    """
    Leaves if the cosine of the embedding (the mean of the hidden states over the tokens) with the embedding at the
    previous exit is at least the threshold. Nothing leaves at the first exit. For embeddings, which have no
    distribution.
    """

    name = "settled"
    needs_certainty = True
    accepted = "a number from -1 to 1"
    for_embeddings = True

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return -1.0 <= threshold <= 1.0

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        if statistics.certainty is None:
            raise ValueError(
                "the criterion 'settled' is for embeddings, whose exits have a certainty, but these exits have none"
            )
        return statistics.certainty

    def grid(self, num_exits: int) -> np.ndarray:
        if num_exits < 2:
            raise ValueError("the criterion 'settled' compares exits, so it needs at least 2 of them, but there is 1")
        return near_one()
