"""The per-element kernels (csrc/kernels/diffusion) on tensors whose first axis is samples."""

from collections.abc import Sequence

import numpy as np
import torch

from ..native import _C


def relative_changes(new: torch.Tensor, old: torch.Tensor) -> np.ndarray:
    """
    Computes ‖new - old‖ / ‖new‖ of each sample.

    Args:
        new (`torch.Tensor` of shape `[samples, ...]`, float32): later samples.
        old (`torch.Tensor` of the same shape and type): earlier samples.

    Returns:
        `np.ndarray` of shape `[samples]`, float64: infinity where only the new sample is zero, 0 where both are zero,
        NaN where one of them is not finite.
    """
    squared, _, norm = _C.sample_differences(_array(new), _array(old)).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((squared == 0) & (norm == 0), 0.0, np.sqrt(squared) / np.sqrt(norm))


def mean_absolute_differences(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """
    Computes the mean of |x - y| over the elements of each sample.

    Args:
        x (`torch.Tensor` of shape `[samples, ...]`, float32): samples.
        y (`torch.Tensor` of the same shape and type): samples.

    Returns:
        `np.ndarray` of shape `[samples]`, float64.
    """
    return _C.sample_differences(_array(x), _array(y))[:, 1] / max(1, x[0].numel())


def cosines(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """
    Computes the cosine of the angle between each sample of `x` and the same sample of `y`.

    Args:
        x (`torch.Tensor` of shape `[samples, ...]`, float32): samples.
        y (`torch.Tensor` of the same shape and type): samples.

    Returns:
        `np.ndarray` of shape `[samples]`, float64, from -1 to 1; NaN where one of the samples is not finite.
    """
    return _C.sample_cosines(_array(x), _array(y))


def combination(tensors: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """
    Computes the weighted sum of tensors.

    Args:
        tensors (`Sequence[torch.Tensor]`): one or more float32 tensors of the same shape, with at least one axis.
        weights (`Sequence[float]`): one weight for each tensor.

    Returns:
        `torch.Tensor` of the same shape, float32.
    """
    return torch.from_numpy(_C.combine_samples([_array(tensor) for tensor in tensors], list(weights)))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
