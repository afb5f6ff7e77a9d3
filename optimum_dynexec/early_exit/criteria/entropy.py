"""The entropy of the distribution."""

import numpy as np

from ..statistics import ExitStatistics
from .base import GRID_SIZE, Criterion


class EntropyCriterion(Criterion):
    """
    Leaves if the entropy, in nats, is at most the threshold.

    BranchyNet (Teerapittayanon et al. 2016, arXiv 1709.01686) and DeeBERT (Xin et al. 2020, arXiv 2004.12993). They
    require less than the threshold; here, a threshold of 0 still lets inputs with entropy 0 leave.
    """

    name = "entropy"
    higher_is_surer = False
    accepted = "a number of nats of 0 or more"

    @classmethod
    def accepts(cls, threshold: float) -> bool:
        return threshold >= 0.0

    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        return statistics.entropy

    def grid(self, num_exits: int) -> np.ndarray:
        # The largest possible entropy of 160,000 tokens is 12.
        return np.geomspace(1e-4, 12.0, GRID_SIZE).astype(np.float32).astype(np.float64)
