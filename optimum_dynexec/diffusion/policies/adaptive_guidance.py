"""Guidance ends once it makes no difference."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ..checks import check_number
from ..kernels import cosines
from .base import DenoisingPolicy, Run


@dataclass(frozen=True)
class AdaptiveGuidanceConfig:
    """
    Configuration of [`AdaptiveGuidance`].

    Args:
        threshold (`float`, *optional*, defaults to 0.991):
            Cosine of the conditional and the unconditional output from which on a sample skips the unconditional pass,
            from 0 to 1. The default is that of arXiv 2312.12487.

    Raises:
        `ValueError`: if a value is not accepted.
    """

    threshold: float = 0.991

    def __post_init__(self) -> None:
        check_number("adaptive_guidance.threshold", self.threshold, 0, 1)


class AdaptiveGuidance(DenoisingPolicy):
    """
    Adaptive guidance (Castillo et al., arXiv 2312.12487): once both outputs point the same way, the unconditional
    pass, half of the work, is skipped in all further steps. The guided output is then taken to be the conditional one.
    """

    config_class: ClassVar[type] = AdaptiveGuidanceConfig

    def __init__(self, config: "AdaptiveGuidanceConfig", run: Run):
        super().__init__(config, run)
        self._dropped = self._none()
        self._largest: float | None = None

    def unguided(self, step: int) -> np.ndarray:
        return self._dropped

    def observe_guidance(self, samples: np.ndarray, conditional: torch.Tensor, unconditional: torch.Tensor) -> None:
        found = cosines(conditional, unconditional)
        self._largest = max(found.max(), -1.0 if self._largest is None else self._largest)
        self._dropped[samples] |= found >= self.config.threshold

    def why_not(self) -> str:
        if self._largest is None:
            return "the pipeline ran without guidance, so there was no unconditional pass to skip"
        if self._dropped.any():
            return f"the cosine of the two outputs reached `threshold` ({self.config.threshold}) in the last step only"
        return (
            f"the largest cosine of the two outputs was {self._largest:.4g}, below `threshold`"
            f" ({self.config.threshold})"
        )
