"""Outputs of the network as they were, for steps that do without it."""

import numpy as np
import torch

from .extrapolation import extrapolation_weights
from .kernels import combination


class OutputHistory:
    """
    Keeps the last outputs for each sample, with and without the prompt.

    Args:
        order (`int`): degree of the polynomial that outputs are extrapolated with.
    """

    def __init__(self, order: int):
        self.order = order
        self._known: dict[tuple[bool, int], list[tuple[float, torch.Tensor]]] = {}

    def record(self, unconditional: bool, samples: np.ndarray, timestep: float, outputs: torch.Tensor) -> None:
        """
        Args:
            unconditional (`bool`): whether the outputs are those without the prompt.
            samples (`np.ndarray` of shape `[n]`, int): of the batch.
            timestep (`float`): what the network was given.
            outputs (`torch.Tensor` of shape `[n, ...]`, float32): what it gave.
        """
        for sample, output in zip(samples, outputs, strict=True):
            known = self._known.setdefault((unconditional, int(sample)), [])
            # Schedulers of second order and PNDM visit a timestep twice.
            known[:] = [entry for entry in known if entry[0] != timestep][-self.order :] if self.order else []
            known.append((timestep, output))

    def extrapolate(self, unconditional: bool, sample: int, timestep: float) -> torch.Tensor:
        """
        Args:
            unconditional (`bool`): as in [`~OutputHistory.record`].
            sample (`int`): of the batch. It has been recorded before.
            timestep (`float`): to extrapolate to.

        Returns:
            `torch.Tensor` of the shape of an output.
        """
        known = self._known[unconditional, sample]
        if len(known) == 1:
            return known[0][1]
        weights = extrapolation_weights([node for node, _ in known], timestep)
        return combination([output for _, output in known], weights)
