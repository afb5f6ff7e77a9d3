"""Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814): a bound on the expected loss."""

import math

import numpy as np

from .p_values import check_losses


def conformal_risk_control(losses: np.ndarray, epsilon: float) -> int | None:
    """
    Chooses the most daring candidate for which the expected loss of the next observation is at most epsilon.

    The expectation is over both the calibration data and the next observation. This guarantee is weaker than that
    of [`~calibration.learn_then_test`], which limits the risk of the chosen thresholds, but it needs less data.

    The method requires losses that only grow from candidate to candidate. Losses of early exit do not always (a deeper
    exit may be wrong where a shallower one was right), so each loss is raised to the largest loss of the earlier
    candidates. This loss is monotone and bounds the true one.

    Args:
        losses (`np.ndarray` float `[candidates, n]`):
            Losses, as in [`~calibration.learn_then_test`]. The observations must be exchangeable with the next one.
        epsilon (`float`): largest expected loss, between 0 and 1.

    Returns:
        `int` or `None`: index of the candidate; `None` if no candidate meets the bound, for example
        if `n + 1 < 1 / epsilon`.
    """
    losses = np.maximum.accumulate(check_losses(losses), axis=0)
    count = losses.shape[-1]
    # The next observation may have the largest loss, 1.
    holds = (losses.sum(axis=-1) + 1.0) / (count + 1) <= epsilon
    return int(np.flatnonzero(holds)[-1]) if holds.any() else None


def observations_for_conformal(mean: float, epsilon: float) -> int | None:
    """How many observations with this mean [`conformal_risk_control`] needs; `None` if no number suffices."""
    return None if mean >= epsilon else max(1, math.ceil((1.0 - epsilon) / (epsilon - mean) - 1e-9))
