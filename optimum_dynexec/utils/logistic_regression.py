"""Logistic regression on a few features."""

import numpy as np


# Strength of the L2 penalty, as a share of one observation per weight. It keeps weights finite if all answers are
# right.
RIDGE = 1.0
NEWTON_STEPS = 50


def sigmoid(values: np.ndarray) -> np.ndarray:
    """`1 / (1 + exp(-values))`, float of the same shape, without overflow."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def fit_logistic_regression(inputs: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """
    Fits the weights with Newton's method, with a small L2 penalty on standardised features.

    Args:
        inputs (`np.ndarray` float64 `[samples, features]`):
            features; rows with a number that is not finite are left out.
        right (`np.ndarray` bool or float `[samples]`): targets, from 0 to 1.

    Returns:
        `tuple`: weights of the features as given, float64 `[features]`, and the bias.

    Raises:
        `ValueError`: if there are no samples.
    """
    known = np.isfinite(inputs).all(axis=1)
    inputs, right = inputs[known], np.asarray(right, np.float64)[known]
    if not len(inputs):
        raise ValueError("a classifier needs at least 1 sample to be fitted")
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    design = np.column_stack([(inputs - mean) / scale, np.ones(len(inputs))])
    # The bias also has a small penalty, so that it stays finite if all answers are right.
    penalty = np.array([RIDGE] * inputs.shape[1] + [1e-3 * RIDGE])
    coefficients = np.zeros(design.shape[1])

    def loss(values: np.ndarray) -> float:
        logits = design @ values
        return float((np.logaddexp(0.0, logits) - right * logits).sum() + 0.5 * (penalty * values**2).sum())

    current = loss(coefficients)
    for _ in range(NEWTON_STEPS):
        probabilities = sigmoid(design @ coefficients)
        gradient = design.T @ (probabilities - right) + penalty * coefficients
        curvature = (design * (probabilities * (1.0 - probabilities))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        # Far from the optimum a full step may overshoot.
        while (trial := loss(coefficients - size * step)) > current and size > 1e-6:
            size /= 2
        coefficients, previous, current = coefficients - size * step, current, trial
        if previous - current <= 1e-10 * (1.0 + abs(current)):
            break
    weights = coefficients[:-1] / scale
    return weights, float(coefficients[-1] - weights @ mean)
