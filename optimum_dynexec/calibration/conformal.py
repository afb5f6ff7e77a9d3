"""Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814): a bound on the expected loss."""

import math

import numpy as np

from .p_values import check_losses


def conformal_risk_control(losses: np.ndarray, epsilon: float) -> int | None:
    """
    Chooses the most daring candidate for which the expected loss of the next observation is at most epsilon.

    The expectation is over the calibration data and the next observation together: the guarantee is weaker than that
    of [`~calibration.learn_then_test`], which holds the risk of the thresholds it chose, and asks for less data.

    The method wants losses that only grow from candidate to candidate. Those of early exit need not (a deeper exit
    may err where a shallower one did not), so each is raised to the largest loss of the candidates before it. That
    loss is monotone and bounds the true one.

    Args:
        losses (`np.ndarray` float `[candidates, n]`):
            See [`~calibration.learn_then_test`]. The observations must be exchangeable with the next one.
        epsilon (`float`): the expected loss allowed, between 0 and 1.

    Returns:
        `int` or `None`: index of the candidate; `None` if none holds the bound, as when `n + 1 < 1 / epsilon`.
    """
    losses = np.maximum.accumulate(check_losses(losses), axis=0)
    count = losses.shape[-1]
    # The observation to come may have the largest loss, 1.
    holds = (losses.sum(axis=-1) + 1.0) / (count + 1) <= epsilon
    return int(np.flatnonzero(holds)[-1]) if holds.any() else None


def observations_for_conformal(mean: float, epsilon: float) -> int | None:
    """How many observations of this mean [`conformal_risk_control`] takes; `None` if no number would do."""
    return None if mean >= epsilon else max(1, math.ceil((1.0 - epsilon) / (epsilon - mean) - 1e-9))
