"""Earlier outputs of the network, for steps that skip it."""

import numpy as np
import torch

from .extrapolation import extrapolation_weights
from .kernels import combination


class OutputHistory:
    """
    Keeps the last outputs for each sample, with and without the prompt.

    Args:
        order (`int`): degree of the polynomial that extrapolates the outputs.
    """

    def __init__(self, order: int):
        self.order = order
        self._known: dict[tuple[bool, int], list[tuple[float, torch.Tensor]]] = {}

    def record(self, unconditional: bool, samples: np.ndarray, timestep: float, outputs: torch.Tensor) -> None:
        """
        Keeps the outputs of a step.

        Args:
            unconditional (`bool`): whether the outputs are those without the prompt.
            samples (`np.ndarray` of shape `[n]`, int): indices of the samples in the batch.
            timestep (`float`): timestep of the network's input.
            outputs (`torch.Tensor` of shape `[n, ...]`, float32): outputs of the network.
        """
        for sample, output in zip(samples, outputs, strict=True):
            known = self._known.setdefault((unconditional, int(sample)), [])
            # Second-order schedulers and PNDM visit a timestep twice.
            known[:] = [entry for entry in known if entry[0] != timestep][-self.order :] if self.order else []
            known.append((timestep, output))

    def extrapolate(self, unconditional: bool, sample: int, timestep: float) -> torch.Tensor:
        """
        Extrapolates the output for a sample.

        Args:
            unconditional (`bool`): whether the output is the one without the prompt.
            sample (`int`): index of the sample in the batch. It must have been recorded before.
            timestep (`float`): timestep to extrapolate to.

        Returns:
            `torch.Tensor` of the shape of an output.
        """
        known = self._known[unconditional, sample]
        if len(known) == 1:
            return known[0][1]
        weights = extrapolation_weights([node for node, _ in known], timestep)
        return combination([output for _, output in known], weights)
