"""Confidence intervals of measured figures, and the number of samples that shows a limit."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np


CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def proportion_interval(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """
    The exact confidence interval of a proportion (Clopper and Pearson, Biometrika 26, 1934).

    Args:
        successes (`int`): the number of samples that are counted.
        n (`int`): the number of samples.
        confidence (`float`, *optional*, defaults to 0.95): the probability that the interval covers the proportion.

    Returns:
        [`Interval`]: the lower and the upper bound, both from 0 to 1.

    Raises:
        `ValueError`: if there is no sample, or `successes` is not from 0 to `n`.
    """
    # scipy.stats takes a second to import, which a command that only checks its arguments should not wait for.
    from scipy.stats import binomtest

    found = binomtest(int(successes), int(n)).proportion_ci(confidence, method="exact")
    return Interval(float(found.low), float(found.high))


def paired_loss_interval(lost: int, gained: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """
    Tango's score interval (Statistics in Medicine 17, 1998) of the accuracy that one model loses against another on
    the same samples, `(lost - gained) / n`. The test that it inverts is McNemar's where the loss tested is 0.

    Args:
        lost (`int`): number of samples on which only the other model is right.
        gained (`int`): number of samples on which only this model is right.
        n (`int`): number of all samples, at least 1.
        confidence (`float`, *optional*, defaults to 0.95): confidence of the interval, between 0 and 1.

    Raises:
        `ValueError`: if there is no sample, or `lost + gained` is more than `n`.
    """
    from scipy.optimize import brentq

    if n < 1 or min(lost, gained) < 0 or lost + gained > n:
        raise ValueError(
            f"`lost + gained` must be from 0 to the number of samples, {n}, but they are {lost} and {gained}"
        )
    z = _z(confidence)

    def score(loss: float) -> float:
        # The most likely share of gained samples if `loss` were the true loss.
        linear = (2 * n - lost + gained) * loss - lost - gained
        root = math.sqrt(max(linear * linear + 8 * n * gained * loss * (1 - loss), 0.0))
        share = max((root - linear) / (4 * n), 0.0)
        variance = n * (2 * share + loss * (1 - loss))
        return (lost - gained - n * loss) / math.sqrt(max(variance, 1e-300))

    mean, edge = (lost - gained) / n, 1 - 1e-12
    low = -1.0 if mean <= -edge else brentq(lambda loss: score(loss) - z, -edge, mean - 1e-12)
    high = 1.0 if mean >= edge else brentq(lambda loss: score(loss) + z, mean + 1e-12, edge)
    return Interval(float(low), float(high))


def mean_interval(
    sums: Sequence[float] | np.ndarray,
    counts: Sequence[float] | np.ndarray | None = None,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """
    Student's interval of a mean, `sum(sums) / sum(counts)`: the observations within a group (the tokens of a text) may
    depend on each other, the groups do not.

    Args:
        sums (`Sequence[float]`): sum of the observations of each group.
        counts (`Sequence[float]`, *optional*): number of observations in each group. If not set: 1.
        confidence (`float`, *optional*, defaults to 0.95): confidence of the interval, between 0 and 1.

    Returns:
        [`Interval`], or `None` for fewer than 2 groups, which do not show how much groups vary.
    """
    totals = np.asarray(sums, np.float64)
    sizes = np.ones_like(totals) if counts is None else np.asarray(counts, np.float64)
    groups = len(totals)
    if groups < 2:
        return None
    mean = totals.sum() / sizes.sum()
    spread = math.sqrt(groups / (groups - 1) * float(((totals - mean * sizes) ** 2).sum())) / sizes.sum()
    half = _t(confidence, groups - 1) * spread
    return Interval(float(mean - half), float(mean + half))


def grouped_share_interval(
    successes: Sequence[int] | np.ndarray, counts: Sequence[int] | np.ndarray, confidence: float = CONFIDENCE
) -> Interval:
    """
    Wilson's interval of a share of observations in groups, for example of the tokens of texts. Where groups vary
    more than independent observations would, they count as fewer observations (Kish's design effect).

    Args:
        successes (`Sequence[int]`): number of successes in each group.
        counts (`Sequence[int]`): number of observations in each group, at least 1 in total.
        confidence (`float`, *optional*, defaults to 0.95): confidence of the interval, between 0 and 1.
    """
    hits, sizes = np.asarray(successes, np.float64), np.asarray(counts, np.float64)
    total, groups = sizes.sum(), len(sizes)
    share = hits.sum() / total
    independent = share * (1 - share) / total
    effect = 1.0
    if groups > 1 and independent > 0:
        grouped = groups / (groups - 1) * float(((hits - share * sizes) ** 2).sum()) / total**2
        effect = max(1.0, grouped / independent)
    z, n = _z(confidence), total / effect
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def typical_ratio(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    confidence: float = CONFIDENCE,
) -> tuple[float, Interval | None]:
    """
    The ratio of measurements in rounds, for example of the times of two systems in turns: Hodges and Lehmann's
    estimate of the centre of the rounds' ratios, and the interval that Wilcoxon's signed-rank test gives. A round that
    something disturbs counts as one round however long it takes. For two equal systems, the interval contains 1 with
    the requested confidence whatever the noise is, because either may be the slower one in a round.

    Args:
        numerators (`Sequence[float]`): positive numbers, one for each round.
        denominators (`Sequence[float]`): positive numbers, one for each round.
        confidence (`float`, *optional*, defaults to 0.95): confidence of the interval, between 0 and 1.

    Returns:
        `tuple[float, Interval | None]`: the ratio, and its interval; `None` for too few rounds (fewer than 6 for 95%).
    """
    logs = np.log(np.asarray(numerators, np.float64) / np.asarray(denominators, np.float64))
    rounds = len(logs)
    first, second = np.triu_indices(rounds)
    means = np.sort((logs[first] + logs[second]) / 2)
    outside = _signed_rank_quantile(rounds, (1 - confidence) / 2)
    interval = Interval(math.exp(means[outside - 1]), math.exp(means[-outside])) if outside else None
    return math.exp(np.median(means)), interval


def speedup_interval(
    work: Sequence[float] | np.ndarray,
    seconds: Sequence[float] | np.ndarray,
    base_work: Sequence[float] | np.ndarray,
    base_seconds: Sequence[float] | np.ndarray,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """
    Student's interval of the ratio of two speeds, each `sum(work) / sum(seconds)`, which were measured on the same
    items, for example the speeds of two systems on the same prompts. It is computed for the logarithm of the ratio, by
    the delta method, and covers the variation from item to item as well as the noise of the times.

    Args:
        work (`Sequence[float]`): work on each item, for example its number of tokens; positive.
        seconds (`Sequence[float]`): time of each item; positive.
        base_work, base_seconds (`Sequence[float]`): the same of the system that it is compared with.
        confidence (`float`, *optional*, defaults to 0.95): confidence of the interval, between 0 and 1.

    Returns:
        [`Interval`], or `None` for fewer than 2 items, which do not show how much items vary.
    """
    values = [np.asarray(numbers, np.float64) for numbers in (work, seconds, base_work, base_seconds)]
    count = len(values[0])
    if count < 2:
        return None
    own_work, own_time, other_work, other_time = (numbers / numbers.sum() for numbers in values)
    # How much each item moves the logarithm of the ratio.
    moved = own_work - own_time - other_work + other_time
    centre = math.log(values[0].sum() / values[1].sum() * values[3].sum() / values[2].sum())
    half = _t(confidence, count - 1) * math.sqrt(count / (count - 1) * float((moved**2).sum()))
    return Interval(math.exp(centre - half), math.exp(centre + half))


def within_limit(interval: Sequence[float] | None, limit: float) -> bool | None:
    """
    Whether a loss is within a limit: `True` or `False` if the whole interval is on one side of the limit, and `None`
    (undecided) if the limit is inside the interval, or there is no interval.
    """
    if interval is None:
        return None
    low, high = interval
    if high <= limit:
        return True
    return False if low > limit else None


def needed_samples(
    limit: float, mean: float = 0.0, variance: float = 0.0, confidence: float = CONFIDENCE
) -> int | None:
    """
    Estimates the number of samples that shows whether a loss is within a limit.

    Args:
        limit (`float`): limit of the loss, above 0.
        mean (`float`, *optional*, defaults to 0.0): mean loss so far.
        variance (`float`, *optional*, defaults to 0.0): variance of the loss of one sample so far.
        confidence (`float`, *optional*, defaults to 0.95): confidence of the interval, between 0 and 1.

    Returns:
        `int`: at least the number that shows the limit if no sample has a loss; `None` where no number would
        suffice, because the loss equals the limit.
    """
    if limit <= 0 or (mean == limit and variance > 0):
        return None
    squared = _z(confidence) ** 2
    # If none of n pairs differs, Tango's interval ends at z² / (n + z²), a little above the exact one of a proportion.
    least = squared * (1 - limit) / limit
    return math.ceil(max(least, squared * variance / (limit - mean) ** 2 if variance > 0 else 0.0) - 1e-9)


def planned_samples(limit: float, confidence: float = CONFIDENCE) -> int:
    """
    Gives the number of samples that shows a limit if the mean loss is 0. It assumes that a share of answers of twice
    the limit differs, half of them for the better and half for the worse.

    Args:
        limit (`float`): limit of the loss, above 0.
        confidence (`float`, *optional*, defaults to 0.95): confidence of the interval, between 0 and 1.
    """
    found = needed_samples(limit, variance=2 * limit, confidence=confidence)
    if found is None:
        raise ValueError(f"no number of samples can show that a loss is at most {limit}: give a limit above 0")
    return found


def interval_text(interval: Sequence[float] | None, form: str = "{:.2%}") -> str:
    """`95% interval 84.06% to 88.61%`, as text, or a note that there is none."""
    if interval is None:
        return "no interval: too few samples"
    return f"{CONFIDENCE:.0%} interval {form.format(interval[0])} to {form.format(interval[1])}"


@lru_cache
def _signed_rank_quantile(rounds: int, probability: float) -> int:
    """The largest n such that Wilcoxon's statistic is below n with at most this probability."""
    ways = np.ones(1)  # number of ways to choose rounds, by the sum of their ranks
    for rank in range(1, rounds + 1):
        ways = np.convolve(ways, [1.0, *[0.0] * (rank - 1), 1.0])
    return int(np.searchsorted(np.cumsum(ways) / 2.0**rounds, probability, side="right"))


def _z(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def _t(confidence: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))
