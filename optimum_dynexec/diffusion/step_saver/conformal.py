"""A bound on how often a prediction is too small."""

import math

import numpy as np


def one_sided_offset(predicted: np.ndarray, needed: np.ndarray, delta: float) -> float | None:
    """
    The number to add to predictions so that they are too small with probability at most delta: conformalised quantile
    regression (Romano, Patterson, Candès 2019, arXiv 1905.03222), upper bound only. The next observation must be
    exchangeable with the given observations, and the predictor must not have been trained on them.

    Args:
        predicted (`np.ndarray` of shape `[n]`): predictions.
        needed (`np.ndarray` of shape `[n]`): values that were to be predicted.
        delta (`float`): allowed probability, between 0 and 1.

    Returns:
        `float` or `None`: the offset; `None` if n is too small for any offset, that is, n + 1 < 1 / delta.
    """
    scores = np.sort(np.asarray(needed, dtype=np.float64) - np.asarray(predicted, dtype=np.float64))
    # Does not round up a whole number: (n + 1) (1 - delta) can be one that floating point slightly exceeds.
    rank = math.ceil((len(scores) + 1) * (1 - delta) - 1e-9)
    return float(scores[rank - 1]) if 1 <= rank <= len(scores) else (None if rank > len(scores) else -math.inf)


def round_up(log_steps: np.ndarray, offset: float | None, steps: list[int]) -> list[int]:
    """
    Chooses the smallest count that is at least the prediction. The largest count is never exceeded: no prompt needs
    more, because it is the reference.

    Args:
        log_steps (`np.ndarray` of shape `[n]`): predicted logarithms, base 2.
        offset (`float`, *optional*): offset from [`one_sided_offset`].
        steps (`list[int]`): step counts, ascending.

    Returns:
        `list[int]`: n step counts.
    """
    if offset is None:
        return [steps[-1]] * len(log_steps)
    grid = np.log2(steps)
    indices = np.searchsorted(grid, np.asarray(log_steps, dtype=np.float64) + offset - 1e-6)
    return [steps[min(int(index), len(steps) - 1)] for index in indices]
