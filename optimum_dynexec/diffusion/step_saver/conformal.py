"""A bound on how often a prediction falls short."""

import math

import numpy as np


def one_sided_offset(predicted: np.ndarray, needed: np.ndarray, delta: float) -> float | None:
    """
    What must be added to predictions so that they fall short with probability at most delta: conformalised quantile
    regression (Romano, Patterson, Candès 2019, arXiv 1905.03222), upper side only. The next observation must be
    exchangeable with those given, and the predictor must not have been trained on them.

    Args:
        predicted (`np.ndarray` of shape `[n]`): predictions.
        needed (`np.ndarray` of shape `[n]`): what was to be predicted.
        delta (`float`): between 0 and 1.

    Returns:
        `float` or `None`: `None` if n is too small for any offset to do, that is, n + 1 < 1 / delta.
    """
    scores = np.sort(np.asarray(needed, dtype=np.float64) - np.asarray(predicted, dtype=np.float64))
    # Without rounding up past a whole number: (n + 1) (1 - delta) is one more often than floating point knows.
    rank = math.ceil((len(scores) + 1) * (1 - delta) - 1e-9)
    return float(scores[rank - 1]) if 1 <= rank <= len(scores) else (None if rank > len(scores) else -math.inf)


def round_up(log_steps: np.ndarray, offset: float | None, steps: list[int]) -> list[int]:
    """
    Chooses the smallest count that is at least what is predicted. The largest one is never exceeded: no prompt needs
    more, as needs are counted against it.

    Args:
        log_steps (`np.ndarray` of shape `[n]`): predicted logarithms, base 2.
        offset (`float`, *optional*): of [`one_sided_offset`].
        steps (`list[int]`): counts, ascending.

    Returns:
        `list[int]`: n counts.
    """
    if offset is None:
        return [steps[-1]] * len(log_steps)
    grid = np.log2(steps)
    indices = np.searchsorted(grid, np.asarray(log_steps, dtype=np.float64) + offset - 1e-6)
    return [steps[min(int(index), len(steps) - 1)] for index in indices]
