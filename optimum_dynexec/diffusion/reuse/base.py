"""The interface of a criterion for reuse."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np


class ReuseCriterion(ABC):
    """
    Decides for which samples the next step is predictable. [`~policies.step_reuse.StepReuse`] limits the result by
    the warmup and the number of successive steps.

    Args:
        num_samples (`int`): number of samples in the batch.
        threshold (`float`): threshold of [`~policies.step_reuse.StepReuseConfig`].
        interval (`int`): interval of [`~policies.step_reuse.StepReuseConfig`].
    """

    name: ClassVar[str]

    def __init__(self, num_samples: int, threshold: float, interval: int):
        self.num_samples, self.threshold, self.interval = num_samples, threshold, interval

    @abstractmethod
    def predictable(self, since_run: np.ndarray) -> np.ndarray:
        """
        Args:
            since_run (`np.ndarray` of shape `[samples]`, int): number of steps since the network ran for each sample.

        Returns:
            `np.ndarray` of shape `[samples]`, bool.
        """

    def observe(self, change: np.ndarray) -> None:
        """
        Args:
            change (`np.ndarray` of shape `[samples]`, float64): mean absolute change of the sample in the last step.
        """
        del change

    def why_not(self) -> str:
        """
        Called after the last step if no step was predictable.

        Returns:
            `str`: the reason, with the values that decided.
        """
        return "no step was predictable"
