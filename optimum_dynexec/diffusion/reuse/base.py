"""What a criterion for reuse is asked."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np


class ReuseCriterion(ABC):
    """
    Says for which samples the next step is predictable. It need not care for warming up or for reuse several times in
    a row: [`~policies.step_reuse.StepReuse`] does.

    Args:
        num_samples (`int`): of the batch.
        threshold (`float`): as the criterion reads it.
        interval (`int`): as the criterion reads it.
    """

    name: ClassVar[str]

    def __init__(self, num_samples: int, threshold: float, interval: int):
        self.num_samples, self.threshold, self.interval = num_samples, threshold, interval

    @abstractmethod
    def predictable(self, since_run: np.ndarray) -> np.ndarray:
        """
        Args:
            since_run (`np.ndarray` of shape `[samples]`, int): steps since the network ran for each sample.

        Returns:
            `np.ndarray` of shape `[samples]`, bool.
        """

    def observe(self, change: np.ndarray) -> None:
        """
        Args:
            change (`np.ndarray` of shape `[samples]`, float64): mean absolute change of the sample in the step that
                was done.
        """
        del change

    def why_not(self) -> str:
        """
        Asked after the last step if no step was predictable.

        Returns:
            `str`: why, with the values that decided.
        """
        return "no step was predictable"
