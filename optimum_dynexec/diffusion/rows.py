"""Selects rows of a batch from the inputs of a network."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


# Inputs without a batch axis whose first axis may have the length of the batch, with their number of axes: positions
# of tokens, and scales of positions.
SHARED = {"img_ids": 2, "txt_ids": 2, "rope_interpolation_scale": 1}


def batch_of(inputs: Mapping[str, Any]) -> int:
    """
    Gives the number of rows in the inputs of a UNet or transformer.

    Args:
        inputs (`Mapping[str, Any]`): inputs by parameter name, with `sample` or `hidden_states` among them.
    """
    return len(inputs["sample"] if "sample" in inputs else inputs["hidden_states"])


def select_rows(inputs: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """
    Selects rows of all inputs that have a batch axis. The batch axis comes first.

    Args:
        inputs (`Mapping[str, Any]`): inputs by parameter name; dictionaries of inputs may be among them.
        rows (`np.ndarray` of shape `[batch]`, bool): mask of the rows to select.
    """
    return {name: _select(name, value, rows) for name, value in inputs.items()}


def _select(name: str, value: object, rows: np.ndarray) -> object:
    if isinstance(value, Mapping):
        return select_rows(value, rows)
    if not isinstance(value, torch.Tensor | np.ndarray) or value.ndim == 0 or len(value) != len(rows):
        return value
    if SHARED.get(name) == value.ndim:
        return value
    return value[torch.from_numpy(rows)] if isinstance(value, torch.Tensor) else value[rows]
