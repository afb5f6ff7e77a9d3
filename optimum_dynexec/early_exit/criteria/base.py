"""What a criterion is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...utils.numbers import is_finite
from ..statistics import ExitStatistics


# Points of a grid of thresholds. Fixed-sequence testing pays nothing for more of them.
GRID_SIZE = 1000


class Criterion(ABC):
    """
    Gives every input a score at every exit. It leaves at the first exit whose score passes the threshold there.

    A score may look at the exit itself and at those before it, never at later ones.
    """

    name: ClassVar[str]
    # Whether an input leaves with a score of at least the threshold, or else of at most the threshold.
    higher_is_surer: ClassVar[bool] = True
    # What a threshold may be, for errors.
    accepted: ClassVar[str]
    # Whether exits have to say how certain they are, beside their distribution.
    needs_certainty: ClassVar[bool] = False
    # Whether it judges embeddings, and not distributions.
    for_embeddings: ClassVar[bool] = False
    # Name of the file of learned weights in the model's directory.
    file_name: ClassVar[str | None] = None

    @abstractmethod
    def scores(self, statistics: ExitStatistics) -> np.ndarray:
        """
        Args:
            statistics ([`~early_exit.ExitStatistics`] `[samples, exits]`): what the heads say.

        Returns:
            `np.ndarray` float `[samples, exits]`; NaN where an input cannot leave.
        """

    @classmethod
    @abstractmethod
    def accepts(cls, threshold: float) -> bool:
        """Whether a finite number makes sense as a threshold."""

    @abstractmethod
    def grid(self, num_exits: int) -> np.ndarray:
        """
        Thresholds worth trying, from the most careful to the most daring, float64 `[points]`. They do not depend on
        data: the guarantee of Learn-then-Test needs them fixed beforehand.
        """

    @classmethod
    def check_threshold(cls, threshold: Any) -> float:
        """
        Raises:
            `ValueError`: if the threshold is none for this criterion; the message says what is accepted.
        """
        if not is_finite(threshold) or not cls.accepts(threshold):
            raise ValueError(f"a threshold of {cls.name!r} must be {cls.accepted}, but it is {threshold!r}")
        return float(threshold)

    @classmethod
    def never(cls) -> float:
        """The threshold that nothing passes."""
        return math.inf if cls.higher_is_surer else -math.inf

    @classmethod
    def passes(cls, scores: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
        """Whether scores pass; bool, of the shape that both broadcast to. NaN never does, nothing does [`never`]."""
        # As in C++: else numpy would round the threshold to the scores' float32, and the scores next to it may pass.
        threshold = np.asarray(threshold, np.float64)
        finite = np.isfinite(threshold)
        return finite & ((scores >= threshold) if cls.higher_is_surer else (scores <= threshold))

    # A criterion without learned weights needs none of the following.

    @classmethod
    def fit(cls, layers: Sequence[int], statistics: ExitStatistics, right: np.ndarray) -> "Criterion":
        """
        Learns the weights, if there are any.

        Args:
            layers (`Sequence[int]`): the layers of the exits.
            statistics ([`~early_exit.ExitStatistics`] `[samples, exits]`): what the heads say.
            right (`np.ndarray` bool or float `[samples, exits]`): how right it would be to leave there, from 0 to 1.
        """
        return cls()

    @classmethod
    def load(cls, directory: str | Path | None) -> "Criterion":
        """Makes the criterion with the weights in a model's directory, if it has any."""
        return cls()

    def check_layers(self, layers: Sequence[int]) -> None:  # noqa: B027
        """
        Checks that a model has exits after the layers that the weights were learned for.

        Raises:
            `ValueError`: if not.
        """

    def learned(self) -> tuple[list[list[float]], list[float]]:
        """The weights `[exits, features]` and biases `[exits]`, for C++; empty if there are none."""
        return [], []

    def content(self) -> bytes | None:
        """The content of the file of learned weights; `None` if there are none."""
        return None


def near_one(points: int = GRID_SIZE) -> np.ndarray:
    """Thresholds from 1 - 1e-5 to 0, close to each other where models are sure, float64 but exact in float32."""
    return (1.0 - np.geomspace(1e-5, 1.0, points)).astype(np.float32).astype(np.float64)
