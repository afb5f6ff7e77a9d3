"""
P-values for the hypothesis that the mean of a loss in [0, 1] is above epsilon, from independent observations.

Each is valid for any number of observations: if the mean is above epsilon, a p-value of at most u occurs with a
probability of at most u.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import bdtr, xlogy


# (losses [..., n], epsilon, delta) -> p-values [...]
PValue = Callable[[np.ndarray, float, float], np.ndarray]


def hoeffding_bentkus(losses: np.ndarray, epsilon: float, delta: float = 0.05) -> np.ndarray:
    """
    The smaller of Hoeffding's bound in its tight form and Bentkus's (Bates et al. 2021, arXiv 2101.02703; Angelopoulos
    et al. 2021, arXiv 2110.01052).

    Args:
        losses (`np.ndarray` float `[..., n]`): losses in [0, 1] of `n` independent observations.
        epsilon (`float`): tested mean, between 0 and 1.
        delta (`float`, *optional*): ignored.

    Returns:
        `np.ndarray` float64 `[...]`.
    """
    losses = check_losses(losses)
    return hoeffding_bentkus_of_sum(losses.sum(axis=-1), losses.shape[-1], epsilon)


def hoeffding_bentkus_of_sum(total: np.ndarray, count: int, epsilon: float) -> np.ndarray:
    """The p-value from the sums of `count` losses."""
    mean = np.minimum(np.asarray(total, np.float64) / count, epsilon)
    # n times the divergence of Bernoulli(mean) from Bernoulli(epsilon)
    divergence = xlogy(mean, mean / epsilon) + xlogy(1.0 - mean, (1.0 - mean) / (1.0 - epsilon))
    hoeffding = np.exp(-count * divergence)
    bentkus = np.e * bdtr(_rounded_up(total), count, epsilon)
    return np.minimum(1.0, np.minimum(hoeffding, bentkus))


def binomial(losses: np.ndarray, epsilon: float, delta: float = 0.05) -> np.ndarray:
    """
    The exact test for losses that are 0 or 1: the probability that at most this number of `n` draws fails at a rate of
    epsilon.

    Args:
        losses (`np.ndarray` float `[..., n]`): losses, each 0 or 1, of `n` independent observations.
        epsilon (`float`): tested mean, between 0 and 1.
        delta (`float`, *optional*): ignored.

    Raises:
        `ValueError`: if a loss is neither 0 nor 1.
    """
    losses = check_losses(losses)
    if not np.isin(losses, (0.0, 1.0)).all():
        raise ValueError(
            "the method 'binomial' needs losses of 0 or 1, but these are rates (texts of several tokens): use"
            " 'hoeffding_bentkus' or 'wsr'"
        )
    return bdtr(losses.sum(axis=-1), losses.shape[-1], epsilon)


def wsr(losses: np.ndarray, epsilon: float, delta: float = 0.05) -> np.ndarray:
    """
    Waudby-Smith and Ramdas's betting test (arXiv 2010.09686), in the form of Bates et al. 2021 (arXiv 2101.02703): the
    capital of a gambler who bets that the mean is below epsilon. If it were above, the capital would reach 1/u with a
    probability of at most u. It is stronger than [`hoeffding_bentkus`] where losses vary little.

    Args:
        losses (`np.ndarray` float `[..., n]`): losses in [0, 1], in an order that does not depend on their size.
        epsilon (`float`): tested mean, between 0 and 1.
        delta (`float`, *optional*, defaults to 0.05):
            The p-value at which the test is strongest. It is valid with any value.
    """
    losses = check_losses(losses)
    count = losses.shape[-1]
    seen = np.arange(1, count + 1)
    mean = (0.5 + np.cumsum(losses, axis=-1)) / (1 + seen)
    variance = (0.25 + np.cumsum((losses - mean) ** 2, axis=-1)) / (1 + seen)
    # A bet may only use earlier observations.
    before = np.concatenate([np.full((*losses.shape[:-1], 1), 0.25), variance[..., :-1]], axis=-1)
    bet = np.minimum(1.0, np.sqrt(2.0 * np.log(1.0 / delta) / (count * before)))
    capital = np.cumsum(np.log1p(-bet * (losses - epsilon)), axis=-1)
    return np.minimum(1.0, np.exp(-capital.max(axis=-1)))


P_VALUES: dict[str, PValue] = {"hoeffding_bentkus": hoeffding_bentkus, "wsr": wsr, "binomial": binomial}


def upper_bound(losses: np.ndarray, delta: float, p_value: PValue = hoeffding_bentkus) -> float:
    """
    An upper bound of the mean with confidence 1 - delta: the smallest epsilon that the test would have accepted.

    Args:
        losses (`np.ndarray` float `[n]`): losses in [0, 1] of `n` independent observations.
        delta (`float`): probability that the bound is wrong, between 0 and 1.
        p_value (`Callable`, *optional*): test, one of [`P_VALUES`].
    """
    low, high = float(np.mean(losses)), 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if p_value(losses, middle, delta) <= delta:
            high = middle
        else:
            low = middle
    return high


def needed_observations(mean: float, epsilon: float, delta: float) -> int | None:
    """
    About how many observations with this mean [`hoeffding_bentkus`] needs to reject at delta.

    Returns:
        `int`: the number; `None` if no number suffices (`mean` is not below `epsilon`), or more than 10 million.
    """

    def enough(count: int) -> bool:
        return bool(hoeffding_bentkus_of_sum(np.float64(mean * count), count, epsilon) <= delta)

    high = 1
    while not enough(high):
        high *= 2
        if mean >= epsilon or high > 10_000_000:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def check_losses(losses: np.ndarray) -> np.ndarray:
    """
    Raises:
        `ValueError`: if there are no losses, or one is not in [0, 1].
    """
    losses = np.asarray(losses, np.float64)
    if losses.ndim == 0 or losses.shape[-1] == 0:
        raise ValueError("a test needs at least one observation")
    if not ((losses >= 0.0) & (losses <= 1.0)).all():
        raise ValueError("losses must be numbers from 0 to 1")
    return losses


def _rounded_up(total: np.ndarray) -> np.ndarray:
    # A sum of fractions may be slightly larger than the whole number that it should be.
    return np.ceil(np.asarray(total, np.float64) - 1e-9)
