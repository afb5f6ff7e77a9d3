"""Confidence intervals of what is measured on a sample."""


def proportion_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """
    The exact confidence interval of a proportion (Clopper and Pearson, Biometrika 26, 1934).

    Args:
        successes (`int`): the number of samples that are counted.
        n (`int`): the number of samples.
        confidence (`float`, *optional*, defaults to 0.95): the probability that the interval covers the proportion.

    Returns:
        `tuple[float, float]`: the lower and the upper bound, both from 0 to 1.

    Raises:
        `ValueError`: if there is no sample, or `successes` is not from 0 to `n`.
    """
    from scipy.stats import binomtest

    interval = binomtest(int(successes), int(n)).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)
