"""A network's inputs for some of a batch's rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


# Inputs without a batch axis although their first axis may be as long as one: positions of tokens, if they have two
# axes, and scales of positions.
SHARED = {"img_ids": 2, "txt_ids": 2, "rope_interpolation_scale": 1}


def batch_of(inputs: Mapping[str, Any]) -> int:
    """
    Number of rows of a UNet's or transformer's inputs.

    Args:
        inputs (`Mapping[str, Any]`): by parameter name; `sample` or `hidden_states` is among them.
    """
    return len(inputs["sample"] if "sample" in inputs else inputs["hidden_states"])


def select_rows(inputs: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """
    Takes some rows of all inputs that have a batch axis, which comes first.

    Args:
        inputs (`Mapping[str, Any]`): by parameter name, dictionaries of inputs among them.
        rows (`np.ndarray` of shape `[batch]`, bool): those to take.
    """
    return {name: _select(name, value, rows) for name, value in inputs.items()}


def _select(name: str, value: Any, rows: np.ndarray) -> Any:
    if isinstance(value, Mapping):
        return select_rows(value, rows)
    if not isinstance(value, torch.Tensor | np.ndarray) or value.ndim == 0 or len(value) != len(rows):
        return value
    if SHARED.get(name) == value.ndim:
        return value
    return value[torch.from_numpy(rows)] if isinstance(value, torch.Tensor) else value[rows]
