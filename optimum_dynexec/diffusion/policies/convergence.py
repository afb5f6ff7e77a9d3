"""Denoising ends once the image has settled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from ..checks import check_number, check_whole
from ..kernels import relative_changes
from ..schedulers import clean_sample_of
from .base import DenoisingPolicy, Run


if TYPE_CHECKING:
    from diffusers import SchedulerMixin


@dataclass(frozen=True)
class ConvergenceConfig:
    """
    Configuration of [`Convergence`].

    Args:
        tolerance (`float`, *optional*, defaults to 0.01):
            Maximum change of the predicted clean sample from one step to the next, relative to its norm.
        patience (`int`, *optional*, defaults to 2):
            Number of successive steps in which the change must be within the tolerance.
        min_steps (`int`, *optional*, defaults to 5):
            Minimum number of steps. The first predictions, from strong noise, change little because they are all
            close to the mean image.

    Raises:
        `ValueError`: if a value is not accepted.
    """

    tolerance: float = 0.01
    patience: int = 2
    min_steps: int = 5

    def __post_init__(self) -> None:
        check_number("convergence.tolerance", self.tolerance, 0)
        check_whole("convergence.patience", self.patience, 1)
        check_whole("convergence.min_steps", self.min_steps, 1)


class Convergence(DenoisingPolicy):
    """
    Ends a sample with its predicted clean sample when the prediction has changed little for some steps in a row. Steps
    that skip the network do not count, because their prediction is made from earlier ones.
    """

    config_class: ClassVar[type] = ConvergenceConfig

    @classmethod
    def check(cls, config: "ConvergenceConfig", scheduler: "SchedulerMixin") -> None:
        clean_sample_of(scheduler)

    def __init__(self, config: "ConvergenceConfig", run: Run):
        super().__init__(config, run)
        self._last: torch.Tensor | None = None
        self._settled = np.zeros(run.num_samples, dtype=int)
        self._steps = 0
        self._complete = True
        self._smallest: float | None = None  # change
        self._longest = 0  # steps in a row

    def schedule(self, complete: bool) -> None:
        self._complete = complete

    def finished(
        self, ran: np.ndarray, before: torch.Tensor, after: torch.Tensor, clean: Callable[[], torch.Tensor]
    ) -> np.ndarray:
        self._steps += 1
        if not self._complete or not ran.any():
            return self._none()
        now = clean()
        if self._last is None:
            self._last = now.clone()
            return self._none()
        changes = relative_changes(now, self._last)
        small = changes <= self.config.tolerance
        self._settled = np.where(ran, np.where(small, self._settled + 1, 0), self._settled)
        self._last[torch.from_numpy(ran)] = now[torch.from_numpy(ran)]
        self._smallest = min([*changes[ran].tolist(), *([] if self._smallest is None else [self._smallest])])
        self._longest = max(self._longest, int(self._settled.max()))
        return ran & (self._settled >= self.config.patience) & (self._steps >= self.config.min_steps)

    def why_not(self) -> str:
        config, needed = self.config, max(self.config.min_steps, self.config.patience + 1) + 1
        if not self._complete:
            return (
                "the schedule ends before all noise is removed (as with `denoising_end`), but an image that stops"
                " early would have no noise left"
            )
        if self.run.num_steps < needed:
            return (
                f"the schedule has {self.run.num_steps} steps, but an image can stop early only in a schedule of"
                f" at least {needed} steps (`min_steps` {config.min_steps}, `patience` {config.patience})"
            )
        if self._smallest is None:
            return "there were no two predictions of the network to compare"
        if self._smallest > config.tolerance:
            return (
                f"the smallest change of the predicted clean sample was {self._smallest:.3g}, above `tolerance`"
                f" ({config.tolerance})"
            )
        return (
            f"the change of the predicted clean sample was within `tolerance` ({config.tolerance}) for at most"
            f" {self._longest} steps in a row, and after the first {config.min_steps} steps (`min_steps`) for fewer"
            f" than {config.patience} (`patience`)"
        )
