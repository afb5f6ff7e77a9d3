"""What a policy is asked and told during denoising."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch


@dataclass(frozen=True)
class Run:
    """
    The denoising that begins.

    Args:
        num_samples (`int`): pictures in the batch, prompts times pictures for each.
        num_steps (`int`): calls of the scheduler that are planned.
    """

    num_samples: int
    num_steps: int


class DenoisingPolicy:
    """
    Decides for each sample of a batch what its denoising can do without. All arrays have one element a sample. A
    policy need not know of the others.

    Args:
        config (`Any`): an instance of `config_class`.
        run (`Run`): the denoising that begins.
    """

    config_class: ClassVar[type]

    @classmethod
    def check(cls, config: Any, scheduler: Any) -> None:
        """
        Called before anything is computed.

        Args:
            config (`Any`): an instance of `config_class`.
            scheduler (`SchedulerMixin`): of the pipeline.

        Raises:
            `ValueError`: if the policy cannot work with it.
        """
        del config, scheduler

    def __init__(self, config: Any, run: Run):
        self.config, self.run = config, run

    def reused(self, step: int) -> np.ndarray:
        """
        Asked before the network runs.

        Args:
            step (`int`): index of the step, from 0.

        Returns:
            `np.ndarray`, bool: samples whose output is extrapolated instead.
        """
        del step
        return self._none()

    def unguided(self, step: int) -> np.ndarray:
        """
        Asked before the network runs.

        Args:
            step (`int`): index of the step, from 0.

        Returns:
            `np.ndarray`, bool: samples whose unconditional output is not needed.
        """
        del step
        return self._none()

    def observe_guidance(self, samples: np.ndarray, conditional: torch.Tensor, unconditional: torch.Tensor) -> None:
        """
        Told what the network gave where both outputs were computed.

        Args:
            samples (`np.ndarray`, int): indices of n samples.
            conditional (`torch.Tensor` of shape `[n, ...]`, float32): with the prompt.
            unconditional (`torch.Tensor` of shape `[n, ...]`, float32): without it.
        """
        del samples, conditional, unconditional

    def finished(
        self, ran: np.ndarray, before: torch.Tensor, after: torch.Tensor, clean: Callable[[], torch.Tensor]
    ) -> np.ndarray:
        """
        Told what a step did, but the last one.

        Args:
            ran (`np.ndarray`, bool): samples that the network ran for.
            before (`torch.Tensor` of shape `[samples, ...]`): noisy samples before the step.
            after (`torch.Tensor` of shape `[samples, ...]`): noisy samples after it.
            clean (`Callable[[], torch.Tensor]`): gives the clean samples that the step predicts.

        Returns:
            `np.ndarray`, bool: samples that end with what is predicted for them now.
        """
        del ran, before, after, clean
        return self._none()

    def schedule(self, complete: bool) -> None:
        """
        Told after the first step.

        Args:
            complete (`bool`): whether the steps that are planned take all noise away. If not, the caller asked for a
                noisy sample, so that no sample may end early with a clean one.
        """
        del complete

    def why_not(self) -> str:
        """
        Asked after the last step if the policy never left out work.

        Returns:
            `str`: why, with the values that decided.
        """
        return "it found nothing to leave out"

    def _none(self) -> np.ndarray:
        return np.zeros(self.run.num_samples, dtype=bool)
