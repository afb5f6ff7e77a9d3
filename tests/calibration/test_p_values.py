import numpy as np
import pytest
from scipy.stats import binom, binomtest

from optimum_dynexec.calibration.p_values import (
    P_VALUES,
    binomial,
    hoeffding_bentkus,
    needed_observations,
    upper_bound,
    wsr,
)


def rates(rng, mean, shape):
    """Like the share of wrong tokens in a text: many texts without one, some with several."""
    return rng.binomial(20, rng.beta(0.5, 0.5 * (1 - mean) / mean, shape)) / 20


def two_values(rng, mean, shape):
    return (rng.random(shape) < mean).astype(float)


def hardly_varying(rng, mean, shape):
    return rng.uniform(0.5 * mean, 1.5 * mean, shape)


@pytest.mark.parametrize("draw", [rates, two_values, hardly_varying])
@pytest.mark.parametrize("name", ["hoeffding_bentkus", "wsr"])
@pytest.mark.parametrize(("count", "mean"), [(30, 0.2), (200, 0.05), (200, 0.5)])
def test_valid(name, draw, count, mean):
    """At the edge of the hypothesis, a p-value of at most u comes up at most every 1/u-th time."""
    rng = np.random.default_rng(count)
    repetitions = 10_000
    p = P_VALUES[name](draw(rng, mean, (repetitions, count)), mean, 0.05)
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).sum() <= binom.ppf(0.9999, repetitions, level)


@pytest.mark.parametrize("name", ["hoeffding_bentkus", "wsr"])
def test_powerful(name):
    """Well within the hypothesis' contrary, it is rejected."""
    losses = rates(np.random.default_rng(0), 0.02, (200, 500))
    assert (P_VALUES[name](losses, 0.06, 0.05) <= 0.05).mean() > 0.9


def test_wsr_gains_where_losses_vary_little():
    losses = hardly_varying(np.random.default_rng(0), 0.03, (50, 200))
    assert (wsr(losses, 0.05, 0.05) < 0.1 * hoeffding_bentkus(losses, 0.05)).all()


def test_hoeffding_bentkus_by_hand():
    """Both parts of the formula, on sums where each is the smaller."""
    for total, count, epsilon in [(3.0, 100, 0.1), (2.5, 100, 0.1), (40.0, 100, 0.6)]:
        losses = np.full(count, total / count)
        a, b = total / count, epsilon
        hoeffding = np.exp(-count * (a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))))
        bentkus = np.e * binom.cdf(np.ceil(total), count, b)
        assert hoeffding_bentkus(losses, epsilon) == pytest.approx(min(hoeffding, bentkus))


def test_nothing_lost():
    """Then both parts come close to (1 - epsilon)^n."""
    assert hoeffding_bentkus(np.zeros(58), 0.05) > 0.05
    assert hoeffding_bentkus(np.zeros(59), 0.05) < 0.05
    assert hoeffding_bentkus(np.zeros(59), 0.05) == pytest.approx(0.95**59)


def test_above_epsilon_is_never_rejected():
    for p_value in P_VALUES.values():
        assert p_value(np.array([0.0, 1.0] * 50), 0.4, 0.05) > 0.5
    assert hoeffding_bentkus(np.ones(10), 0.05) == 1.0


def test_sums_of_fractions_are_not_rounded_to_the_next_whole_number():
    thirds = np.full(9, 1 / 3)
    assert hoeffding_bentkus(thirds, 0.6) == hoeffding_bentkus(np.repeat([1.0, 0.0], [3, 6]), 0.6)


def test_binomial_is_the_exact_test():
    losses = np.repeat([1.0, 0.0], [2, 98])
    assert binomial(losses, 0.05) == pytest.approx(binomtest(2, 100, 0.05, alternative="less").pvalue)
    with pytest.raises(ValueError, match="losses of 0 or 1.*'hoeffding_bentkus'"):
        binomial(np.array([0.5, 0.0]), 0.05)


@pytest.mark.parametrize("name", list(P_VALUES))
def test_many_at_once(name):
    losses = two_values(np.random.default_rng(1), 0.1, (3, 4, 50))
    together = P_VALUES[name](losses, 0.2, 0.05)
    assert together.shape == (3, 4)
    for index in np.ndindex(3, 4):
        assert together[index] == pytest.approx(P_VALUES[name](losses[index], 0.2, 0.05))


def test_wsr_bets_on_what_was_seen_before_only():
    """A bet that knew its own outcome would win always: changing an observation must not change the bet on it."""
    rng = np.random.default_rng(0)
    losses = two_values(rng, 0.3, 40)
    # The capital after the first observation is linear in it if the bet is fixed.
    first = [1 / wsr(np.array([x, *np.ones(5)]), 0.9, 0.5) for x in (0.0, 0.25, 0.5)]
    assert first[0] - first[1] == pytest.approx(first[1] - first[2])
    assert wsr(losses, 0.5, 0.05) <= 1.0


@pytest.mark.parametrize("bad", [np.array([0.1, 1.1]), np.array([-0.1]), np.array([np.nan]), np.array([])])
def test_losses_are_checked(bad):
    for p_value in P_VALUES.values():
        with pytest.raises(ValueError, match="losses must be numbers from 0 to 1|at least one observation"):
            p_value(bad, 0.05, 0.05)


def test_upper_bound_turns_the_test_around():
    losses = rates(np.random.default_rng(3), 0.03, 400)
    for p_value in (hoeffding_bentkus, wsr):
        bound = upper_bound(losses, 0.05, p_value)
        assert losses.mean() < bound < 0.1
        assert p_value(losses, bound + 1e-6, 0.05) <= 0.05 < p_value(losses, bound - 1e-6, 0.05)


def test_upper_bound_covers():
    rng = np.random.default_rng(4)
    bounds = np.array([upper_bound(rates(rng, 0.1, 100), 0.1) for _ in range(300)])
    assert (bounds < 0.1).sum() <= binom.ppf(0.9999, 300, 0.1)


def test_needed_observations():
    assert needed_observations(0.0, 0.05, 0.05) == 59
    count = needed_observations(0.02, 0.05, 0.05)
    assert hoeffding_bentkus(np.full(count, 0.02), 0.05) <= 0.05
    assert hoeffding_bentkus(np.full(count - 2, 0.02), 0.05) > 0.04
    assert needed_observations(0.049, 0.05, 0.05) > 10_000
    assert needed_observations(0.05, 0.05, 0.05) is None
    assert needed_observations(0.0, 0.999, 0.5) == 1
