"""The base class of criteria."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...utils.numbers import is_finite
from ..statistics import ExitStatistics


# Points of a grid of thresholds. With fixed-sequence testing, more points cost nothing.
GRID_SIZE = 1000


class Criterion(ABC):
    """
    Computes a score for each input at each exit. The input leaves at the first exit whose score passes the threshold.

    A score may depend on the exit itself and on earlier exits, but not on later ones.
    """

    name: ClassVar[str]
    # True: an input leaves if its score is at least the threshold. False: if it is at most the threshold.
    higher_is_surer: ClassVar[bool] = True
    # The accepted thresholds, for error messages.
    accepted: ClassVar[str]
    # Whether the criterion needs a certainty from the exit heads, in addition to their distribution.
    needs_certainty: ClassVar[bool] = False
    # Whether the criterion is for embeddings instead of distributions.
    for_embeddings: ClassVar[bool] = False
    # Name of the file with learned weights in the model's directory.
    file_name: ClassVar[str | None] = None

    @abstractmethod
    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        """
        Args:
            statistics ([`~early_exit.ExitStatistics`] `[samples, exits]`): statistics of the exit heads.

        Returns:
            `np.ndarray` float `[samples, exits]`; the scores; NaN where an input cannot leave.
        """

    @classmethod
    @abstractmethod
    def accepts(cls, threshold: float) -> bool:
        """Whether a finite number is an accepted threshold."""

    @abstractmethod
    def grid(self, num_exits: int) -> np.ndarray:
        """
        The thresholds to try, from the most careful to the most daring, float64 `[points]`. They do not depend on
        data, because the guarantee of Learn then Test requires that they are fixed in advance.
        """

    @classmethod
    def check_threshold(cls, threshold: object) -> float:
        """
        Raises:
            `ValueError`: if the criterion does not accept the threshold. The message says what is accepted.
        """
        if not is_finite(threshold) or not cls.accepts(threshold):
            raise ValueError(
                f"a threshold of the criterion {cls.name!r} must be {cls.accepted}, but it is {threshold!r}"
            )
        return float(threshold)

    @classmethod
    def never(cls) -> float:
        """The threshold that nothing passes."""
        return math.inf if cls.higher_is_surer else -math.inf

    @classmethod
    def passes(cls, scores: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
        """
        Whether scores pass; bool, of the shape that both broadcast to. NaN never passes, and nothing passes [`never`].
        """
        # As in C++. Otherwise numpy would round the threshold to float32 like the scores, and scores near it might
        # pass.
        threshold = np.asarray(threshold, np.float64)
        finite = np.isfinite(threshold)
        return finite & ((scores >= threshold) if cls.higher_is_surer else (scores <= threshold))

    # A criterion without learned weights does not need the following methods.

    @classmethod
    def fit(cls, layers: Sequence[int], statistics: ExitStatistics, right: np.ndarray) -> "Criterion":
        """
        Learns the weights, if the criterion has any.

        Args:
            layers (`Sequence[int]`): the exit layers.
            statistics ([`~early_exit.ExitStatistics`] `[samples, exits]`): statistics of the exit heads.
            right (`np.ndarray` bool or float `[samples, exits]`): how correct the output of each exit is, from 0 to 1.
        """
        return cls()

    @classmethod
    def load(cls, directory: str | Path | None) -> "Criterion":
        """Makes the criterion, with its weights from a model's directory if it has any."""
        return cls()

    def check_layers(self, layers: Sequence[int]) -> None:  # noqa: B027
        """
        Checks that a model has exits after the layers that the weights were learned for.

        Raises:
            `ValueError`: if the model has other exits.
        """

    def learned(self) -> tuple[list[list[float]], list[float]]:
        """The weights `[exits, features]` and biases `[exits]`, for C++; empty if there are none."""
        return [], []

    def content(self) -> bytes | None:
        """The content of the file of learned weights; `None` if there are none."""
        return None


def near_one(points: int = GRID_SIZE) -> np.ndarray:
    """Thresholds from 1 - 1e-5 to 0, denser where models are confident, float64 but exact in float32."""
    return (1.0 - np.geomspace(1e-5, 1.0, points)).astype(np.float32).astype(np.float64)
