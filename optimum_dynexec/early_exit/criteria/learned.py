"""The certainty that an exit head has learned to predict."""

import numpy as np

from ..statistics import ExitStatistics
from .base import Criterion, near_one


class LearnedCriterion(Criterion):
    """
    Leaves if the head predicts, with at least the threshold as probability, that its own answer is right.

    The learning-to-exit module of BERxiT (Xin et al. 2021, doi 10.18653/v1/2021.eacl-main.8): one linear layer on the
    hidden states that the head reads, trained together with the head. Heads without this layer cannot be used.
    """

    name = "learned"
    needs_certainty = True
    accepted = "a number from 0 to 1"

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return 0.0 <= threshold <= 1.0

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        if statistics.certainty is None:
            raise ValueError("the criterion 'learned' needs exit heads that were trained with `certainty=True`")
        return statistics.certainty

    def grid(self, num_exits: int) -> np.ndarray:
        return near_one()
