"""Outputs of the network as they were, for steps that do without it."""

import numpy as np
import torch

from .extrapolation import extrapolation_weights
from .kernels import combination


class OutputHistory:
    """
    Keeps the last outputs of each row of each of a step's network calls.

    Args:
        order (`int`): degree of the polynomial that outputs are extrapolated with.
    """

    def __init__(self, order: int):
        self.order = order
        self._rows: dict[tuple[int, int], list[tuple[float, torch.Tensor]]] = {}

    def record(self, call: int, rows: np.ndarray, timestep: float, outputs: torch.Tensor) -> None:
        """
        Args:
            call (`int`): index of the call within its step.
            rows (`np.ndarray` of shape `[n]`, int): of the whole batch.
            timestep (`float`): what the network was given.
            outputs (`torch.Tensor` of shape `[n, ...]`, float32): what it gave.
        """
        for row, output in zip(rows, outputs, strict=True):
            known = self._rows.setdefault((call, int(row)), [])
            # Schedulers of second order and PNDM visit a timestep twice.
            known[:] = [entry for entry in known if entry[0] != timestep][-self.order :] if self.order else []
            known.append((timestep, output))

    def extrapolate(self, call: int, row: int, timestep: float) -> torch.Tensor:
        """
        Args:
            call (`int`): index of the call within its step.
            row (`int`): of the whole batch. It has been recorded before.
            timestep (`float`): to extrapolate to.

        Returns:
            `torch.Tensor` of the shape of a row.
        """
        known = self._rows[call, row]
        if len(known) == 1:
            return known[0][1]
        weights = extrapolation_weights([node for node, _ in known], timestep)
        return combination([output for _, output in known], weights)
