"""Steps that skip the network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ..checks import check_number, check_whole
from ..kernels import mean_absolute_differences
from ..reuse import CRITERIA
from .base import DenoisingPolicy, Run


@dataclass(frozen=True)
class StepReuseConfig:
    """
    Configuration of [`StepReuse`].

    Args:
        criterion (`str`, *optional*, defaults to `"third_order"`):
            Criterion for a step that skips the network. `"third_order"`: the latent changes evenly
            (AdaptiveDiffusion). `"interval"`: every step except every n-th (TaylorSeer).
        threshold (`float`, *optional*, defaults to 0.01):
            Maximum relative third-order difference of the latent, for `"third_order"`.
        interval (`int`, *optional*, defaults to 2):
            Length of the interval for `"interval"`: the network runs in one of this number of steps.
        max_consecutive (`int`, *optional*, defaults to 4):
            Maximum number of successive steps that skip the network.
        order (`int`, *optional*, defaults to 0):
            Order of the extrapolation that replaces the output. 0: the last output. 1 or more: the polynomial of this
            degree in the timestep through the last outputs (TaylorSeer).
        warmup (`int`, *optional*, defaults to 3):
            Number of first steps in which the network always runs. It is never less than `order + 1`.

    Raises:
        `ValueError`: if a value is not accepted.
    """

    criterion: str = "third_order"
    threshold: float = 0.01
    interval: int = 2
    max_consecutive: int = 4
    order: int = 0
    warmup: int = 3

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise ValueError(f"`step_reuse.criterion` must be one of {sorted(CRITERIA)}, but it is {self.criterion!r}")
        check_number("step_reuse.threshold", self.threshold, 0)
        check_whole("step_reuse.interval", self.interval, 1)
        check_whole("step_reuse.max_consecutive", self.max_consecutive, 1)
        check_whole("step_reuse.order", self.order, 0, 3)
        check_whole("step_reuse.warmup", self.warmup, 1)


class StepReuse(DenoisingPolicy):
    """
    Skips the network at steps whose output can be predicted: AdaptiveDiffusion (arXiv 2410.09873) and TaylorSeer
    (arXiv 2503.06923; applied to the network's output, so it works with any network).
    """

    config_class: ClassVar[type] = StepReuseConfig

    def __init__(self, config: "StepReuseConfig", run: Run):
        super().__init__(config, run)
        self._criterion = CRITERIA[config.criterion](run.num_samples, config.threshold, config.interval)
        self._since_run = np.zeros(run.num_samples, dtype=int)

    @property
    def _first(self) -> int:
        """The first step that may skip the network."""
        return max(self.config.warmup, self.config.order + 1)

    def reused(self, step: int) -> np.ndarray:
        if step < self._first:
            return self._none()
        return self._criterion.predictable(self._since_run) & (self._since_run < self.config.max_consecutive)

    def finished(
        self, ran: np.ndarray, before: torch.Tensor, after: torch.Tensor, clean: Callable[[], torch.Tensor]
    ) -> np.ndarray:
        self._since_run = np.where(ran, 0, self._since_run + 1)
        self._criterion.observe(mean_absolute_differences(after, before))
        return self._none()

    def why_not(self) -> str:
        if self.run.num_steps <= self._first:
            return (
                f"the schedule has {self.run.num_steps} steps, of which the first {self._first} always run (`warmup`"
                f" {self.config.warmup}, `order` {self.config.order})"
            )
        return self._criterion.why_not()
