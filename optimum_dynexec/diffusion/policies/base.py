"""The interface of a policy during denoising."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch


if TYPE_CHECKING:
    from diffusers import SchedulerMixin


@dataclass(frozen=True)
class Run:
    """
    Size of the denoising that begins.

    Args:
        num_samples (`int`): number of images in the batch: number of prompts times number of images per prompt.
        num_steps (`int`): planned number of calls of the scheduler.
    """

    num_samples: int
    num_steps: int


class DenoisingPolicy:
    """
    Decides for each sample of a batch which denoising work to skip. All arrays have one element per sample. Policies
    are independent of each other.

    Args:
        config (`Any`): instance of `config_class`.
        run (`Run`): size of the denoising that begins.
    """

    config_class: ClassVar[type]

    @classmethod
    def check(cls, config: Any, scheduler: "SchedulerMixin") -> None:
        """
        Called before anything is computed.

        Args:
            config (`Any`): instance of `config_class`.
            scheduler (`SchedulerMixin`): scheduler of the pipeline.

        Raises:
            `ValueError`: if the policy cannot work with the scheduler.
        """
        del config, scheduler

    def __init__(self, config: Any, run: Run):
        self.config, self.run = config, run

    def reused(self, step: int) -> np.ndarray:
        """
        Called before the network runs.

        Args:
            step (`int`): index of the step, from 0.

        Returns:
            `np.ndarray`, bool: mask of the samples whose output is extrapolated instead.
        """
        del step
        return self._none()

    def unguided(self, step: int) -> np.ndarray:
        """
        Called before the network runs.

        Args:
            step (`int`): index of the step, from 0.

        Returns:
            `np.ndarray`, bool: mask of the samples whose unconditional output is not needed.
        """
        del step
        return self._none()

    def observe_guidance(self, samples: np.ndarray, conditional: torch.Tensor, unconditional: torch.Tensor) -> None:
        """
        Called with the outputs of the network for the samples with both outputs.

        Args:
            samples (`np.ndarray`, int): indices of n samples.
            conditional (`torch.Tensor` of shape `[n, ...]`, float32): outputs with the prompt.
            unconditional (`torch.Tensor` of shape `[n, ...]`, float32): outputs without the prompt.
        """
        del samples, conditional, unconditional

    def finished(
        self, ran: np.ndarray, before: torch.Tensor, after: torch.Tensor, clean: Callable[[], torch.Tensor]
    ) -> np.ndarray:
        """
        Called after each step except the last.

        Args:
            ran (`np.ndarray`, bool): mask of the samples for which the network ran.
            before (`torch.Tensor` of shape `[samples, ...]`): noisy samples before the step.
            after (`torch.Tensor` of shape `[samples, ...]`): noisy samples after the step.
            clean (`Callable[[], torch.Tensor]`): function that gives the clean samples that the step predicts.

        Returns:
            `np.ndarray`, bool: mask of the samples that end now, with their predicted clean sample.
        """
        del ran, before, after, clean
        return self._none()

    def schedule(self, complete: bool) -> None:
        """
        Called after the first step.

        Args:
            complete (`bool`): whether the planned steps remove all noise. If not, the caller wants a noisy sample, so
                no sample may end early with a clean one.
        """
        del complete

    def why_not(self) -> str:
        """
        Called after the last step if the policy never skipped work.

        Returns:
            `str`: the reason, with the values that decided.
        """
        return "it found no work to skip"

    def _none(self) -> np.ndarray:
        return np.zeros(self.run.num_samples, dtype=bool)
