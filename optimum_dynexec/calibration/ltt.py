"""Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052): thresholds whose risk is at most epsilon, with
probability 1 - delta over the calibration data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .p_values import P_VALUES


@dataclass(frozen=True)
class TestedThresholds:
    """
    Outcome of [`learn_then_test`].

    Args:
        chosen (`int`, *optional*): index of the most daring candidate that meets the risk limit; `None` if none does.
        p_values (`np.ndarray` float64 `[candidates]`): p-values of the hypotheses that the risk is above epsilon.
        rejected (`np.ndarray` bool `[candidates]`):
            which hypotheses were rejected, that is, which candidates meet the risk limit.
    """

    chosen: int | None
    p_values: np.ndarray
    rejected: np.ndarray


def fixed_sequence(p_values: np.ndarray, delta: float) -> np.ndarray:
    """Tests the candidates in order, each at the full delta, until one cannot be rejected. The order must
    not depend on the data. No correction for their number is needed."""
    return np.logical_and.accumulate(p_values <= delta)


def bonferroni(p_values: np.ndarray, delta: float) -> np.ndarray:
    """Tests each candidate at delta divided by their number."""
    return p_values <= delta / len(p_values)


def holm(p_values: np.ndarray, delta: float) -> np.ndarray:
    """Bonferroni's correction, which becomes less strict with each rejected hypothesis (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    levels = delta / np.arange(len(p_values), 0, -1)
    rejected = np.zeros(len(p_values), bool)
    rejected[order] = np.logical_and.accumulate(p_values[order] <= levels)
    return rejected


# Corrections that limit the probability of any false rejection among the candidates to delta. (p_values [candidates],
# delta) -> bool.
CORRECTIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "fixed_sequence": fixed_sequence,
    "bonferroni": bonferroni,
    "holm": holm,
}


def learn_then_test(
    losses: np.ndarray,
    epsilon: float,
    delta: float,
    p_value: str = "hoeffding_bentkus",
    correction: str = "fixed_sequence",
) -> TestedThresholds:
    """
    Chooses the most daring candidate that meets the risk limit. With probability 1 - delta over the data, the risk of
    the chosen candidate is at most epsilon.

    Args:
        losses (`np.ndarray` float `[candidates, n]`):
            Losses in [0, 1] of `n` independent observations for each candidate, from the most careful to the
            most daring. The candidates must not depend on these observations.
        epsilon (`float`): largest risk, between 0 and 1.
        delta (`float`): probability of a larger risk, between 0 and 1.
        p_value (`str`, *optional*): p-value, one of [`P_VALUES`].
        correction (`str`, *optional*): correction for several tests, one of [`CORRECTIONS`].
    """
    p_values = P_VALUES[p_value](losses, epsilon, delta)
    rejected = CORRECTIONS[correction](p_values, delta)
    chosen = int(np.flatnonzero(rejected)[-1]) if rejected.any() else None
    return TestedThresholds(chosen, p_values, rejected)
