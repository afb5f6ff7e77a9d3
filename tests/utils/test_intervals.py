"""Intervals hold what they promise, and few samples show little."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from optimum_dynexec.utils.intervals import (
    grouped_share_interval,
    interval_text,
    mean_interval,
    needed_samples,
    paired_loss_interval,
    planned_samples,
    proportion_interval,
    speedup_interval,
    typical_ratio,
    within_limit,
)


RUNS = 1000
# 95% of 1000 draws, less three standard deviations and what score intervals lack on few samples.
LEAST = 0.925


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    # 19 of 20 is in many tables of Clopper-Pearson intervals; 0 of n is 1 - (alpha / 2)^(1/n).
    [(19, 20, (0.7513, 0.9987)), (0, 20, (0.0, 1 - 0.025**0.05)), (20, 20, (0.025**0.05, 1.0))],
)
def test_proportion_interval(successes, n, expected):
    assert proportion_interval(successes, n) == pytest.approx(expected, abs=1e-4)


def test_errors():
    with pytest.raises(ValueError, match="n"):
        proportion_interval(0, 0)
    with pytest.raises(ValueError, match="k|successes"):
        proportion_interval(3, 2)
    with pytest.raises(ValueError, match="must be from 0 to the number of samples, 3"):
        paired_loss_interval(2, 2, 3)


def test_nothing_lost_on_few_samples_shows_little():
    assert paired_loss_interval(0, 0, 20) == pytest.approx((-0.161, 0.161), abs=1e-3)
    assert within_limit(paired_loss_interval(0, 0, 20), 0.01) is None


def test_published_interval_of_a_paired_difference():
    # Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014): airways before and after transplantation.
    assert paired_loss_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=2e-3)
    low, high = paired_loss_interval(7, 1, 21)
    assert (-high, -low) == pytest.approx(paired_loss_interval(1, 7, 21))


@pytest.mark.parametrize(("lost", "gained", "n"), [(0, 0, 1), (1, 0, 1), (0, 1, 1), (30, 0, 30), (15, 15, 30)])
def test_extreme_tables_have_an_interval_with_the_loss_inside(lost, gained, n):
    low, high = paired_loss_interval(lost, gained, n)
    assert -1 <= low <= (lost - gained) / n <= high <= 1
    assert high - low > 0.01


def test_paired_interval_covers_the_true_loss():
    draw = np.random.default_rng(0)
    lost, gained = 0.05, 0.02
    tables = draw.multinomial(200, [lost, gained, 1 - lost - gained], RUNS)
    covered = [low <= lost - gained <= high for low, high in (paired_loss_interval(b, c, 200) for b, c, _ in tables)]
    assert LEAST < np.mean(covered) < 0.98


def test_mean_and_share_of_groups_cover_the_true_ones():
    draw = np.random.default_rng(0)
    means, shares = [], []
    for _ in range(RUNS):
        sizes = draw.integers(20, 60, 40)
        rates = draw.beta(2, 18, 40)  # groups differ: the tokens of one text are wrong together
        hits = draw.binomial(sizes, rates)
        low, high = mean_interval(hits, sizes)
        means.append(low <= 0.1 <= high)
        low, high = grouped_share_interval(hits, sizes)
        shares.append(low <= 0.1 <= high)
    assert LEAST < np.mean(means) < 0.98
    assert LEAST < np.mean(shares) < 0.98
    # As if all were independent, the interval is too narrow.
    assert grouped_share_interval([0] * 10, [10] * 10) == pytest.approx((0, 0.037), abs=1e-3)
    assert mean_interval([0.5]) is None


def test_ratio_is_paired_and_outlives_outliers():
    draw = np.random.default_rng(0)
    covered, widths = [], []
    for _ in range(RUNS):
        busy = np.exp(draw.normal(0, 0.5, 20))  # what both of a round meet
        slow = 1.2 * busy * np.exp(draw.normal(0, 0.05, 20))
        slow[0] *= 10
        ratio, (low, high) = typical_ratio(slow, busy * np.exp(draw.normal(0, 0.05, 20)))
        covered.append(low <= 1.2 <= high)
        widths.append(high - low)
        assert low < ratio < high
    assert LEAST < np.mean(covered) < 0.98
    assert np.mean(widths) < 0.12


def test_ratio_is_that_of_the_signed_rank_test():
    draw = np.random.default_rng(1)
    for rounds in (6, 9, 16, 40):
        above, below = np.exp(draw.normal(0.1, 0.2, (2, rounds)))
        _, (low, high) = typical_ratio(above, below)
        for edge in (low, high):
            # The test rejects just outside of the interval, and not inside.
            p_values = [
                wilcoxon(np.log(above / below / (edge * shift)), method="exact").pvalue for shift in (0.9999, 1.0001)
            ]
            assert min(p_values) <= 0.05 < max(p_values)
    assert typical_ratio([3.0] * 5, [2.0] * 5) == (pytest.approx(1.5), None)


@pytest.mark.parametrize("items", [5, 20])
def test_speedup_is_covered(items):
    """Of prompts whose lengths, speed-ups and times vary; two equal systems are not shown to differ."""
    draw, covered, wide = np.random.default_rng(0), 0, []
    for _ in range(RUNS):
        work, base_work = draw.integers(50, 150, (2, items))
        base = base_work / 40 * np.exp(draw.normal(0, 0.1, items))
        own = work / 60 * np.exp(draw.normal(0, 0.2, items))
        low, high = speedup_interval(work, own, base_work, base)
        # The ratio of many items: the mean of exp(normal) is exp(variance / 2).
        covered += low <= 1.5 * np.exp((0.1**2 - 0.2**2) / 2) <= high
        wide.append(high / low)
    assert covered >= LEAST * RUNS
    assert np.median(wide) < (2.0 if items == 5 else 1.3), "it is not covered by being wide"


def test_speedup_of_few_items():
    assert speedup_interval([3], [1.0], [3], [2.0]) is None
    assert speedup_interval([3, 4], [1.0, 2.0], [3, 4], [1.0, 2.0]) == (1, 1)
    assert speedup_interval([1, 1], [1.0, 2.0], [1, 1], [2.0, 4.0]) == pytest.approx((2, 2))


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((-0.01, 0.01), True), ((0.0, 0.02), None), ((0.011, 0.02), False), (None, None)],
)
def test_a_limit_inside_the_interval_is_undecided(interval, expected):
    assert within_limit(interval, 0.01) is expected


@pytest.mark.parametrize("limit", [0.002, 0.01, 0.05])
def test_needed_samples_decide(limit):
    needed = needed_samples(limit)
    assert within_limit(proportion_interval(0, needed), limit) is True
    assert within_limit(paired_loss_interval(0, 0, needed), limit) is True
    assert within_limit(paired_loss_interval(0, 0, needed - 1), limit) is None
    count = planned_samples(limit)
    differing = round(limit * count)
    assert within_limit(paired_loss_interval(differing, differing, count), 1.2 * limit) is True
    assert needed_samples(limit, mean=limit, variance=0.1) is None
    # As far above as below.
    assert needed_samples(limit, 1.5 * limit, limit) == needed_samples(limit, 0.5 * limit, limit)


def test_text():
    assert interval_text((0.8406, 0.8861)) == "95% interval 84.06% to 88.61%"
    assert interval_text(None) == "no interval: too few samples"
