"""Successive halving on made-up costs: the fastest wins, what loses too much does not, time is kept."""

import time
from types import SimpleNamespace

import pytest

from optimum_dynexec.tuning.choice import choose, rows, take_back
from optimum_dynexec.tuning.classifier import confirmed
from optimum_dynexec.tuning.halving import Trial, successive_halving


def runner(costs, losses=None, calls=None):
    def run(trial, item):
        if calls is not None:
            calls.append((trial.name, item))
        return costs[trial.name] * (1 + 0.01 * (item % 3)), 2, 2 * (losses or {}).get(trial.name, 0.0)

    return run


def far():
    return time.monotonic() + 100


def test_fastest_wins_and_the_baseline_stays():
    costs = {"off": 5.0, "a": 4.0, "b": 1.0, "c": 3.0, "d": 2.0, "e": 6.0}
    trials = [Trial(name, {}) for name in costs]
    calls = []
    finished = successive_halving(
        trials, list(range(16)), runner(costs, calls=calls), baseline=trials[0], deadline=far(), progress=False
    )
    assert finished[0].name == "b"
    assert finished[-1].name == "off"
    by_name = {trial.name: trial for trial in trials}
    # Who is slower is measured less often; who is compared was measured on the same.
    assert len(by_name["b"].seconds) == len(by_name["off"].seconds) == 16
    assert len(by_name["e"].seconds) < len(by_name["a"].seconds) + 5 < 16
    assert by_name["e"].fate.startswith("slower than others after")
    assert by_name["b"].cost == pytest.approx(0.5, rel=0.02)
    # A first run that does not count, then item after item, in an order that changes.
    assert [name for name, _ in calls[:6]] == list(costs)
    rounds = [tuple(name for name, item in calls[6:] if item == k) for k in range(3)]
    assert all(sorted(names) == sorted(costs) for names in rounds)
    assert len(set(rounds)) > 1


def test_limit_of_loss():
    costs, losses = {"off": 5.0, "wild": 1.0, "careful": 3.0}, {"wild": 0.2, "careful": 0.005}
    trials = [Trial(name, {}) for name in costs]
    finished = successive_halving(
        trials, [1, 2, 3, 4], runner(costs, losses), baseline=trials[0], deadline=far(), max_loss=0.01, progress=False
    )
    assert [trial.name for trial in finished] == ["careful", "off"]
    assert trials[1].fate == "loses 20.00%, more than 1.00%"


def test_what_is_safe_remains_where_the_fastest_lose_too_much():
    costs = {"off": 5.0, "a": 1.0, "b": 1.1, "c": 1.2, "d": 1.3, "safe": 3.0}
    trials = [Trial(name, {}) for name in costs]

    def run(trial, item):
        # What loses shows late.
        return costs[trial.name], 2, 2.0 * (item > 12 and trial.name in "abcd")

    def names(safe):
        for trial in trials:
            trial.seconds, trial.units, trial.wrong, trial.fate = [], [], 0.0, ""
        found = successive_halving(
            trials, range(16), run, baseline=trials[0], safe=safe, deadline=far(), max_loss=0.01, progress=False
        )
        return [trial.name for trial in found]

    assert names(None) == ["off"]
    assert names(trials[-1]) == ["safe", "off"]


def test_time_is_kept():
    trials = [Trial(name, {}) for name in ("off", "a")]
    calls = []
    finished = successive_halving(
        trials,
        list(range(50)),
        runner({"off": 2.0, "a": 1.0}, calls=calls),
        baseline=trials[0],
        deadline=time.monotonic() - 1,
        progress=False,
    )
    assert [trial.name for trial in finished] == ["a", "off"]
    assert len(calls) <= 4


def test_the_default_stays_unless_something_is_clearly_faster():
    default, little, much = (
        Trial(name, {}, [seconds], [1]) for name, seconds in (("d", 1.0), ("l", 0.99), ("m", 0.9))
    )
    assert choose([little, default], default) is default
    assert choose([much, little, default], default) is much
    assert choose([little], default) is little


def test_the_table_says_why():
    plain, default, little = (
        Trial(name, {}, [seconds], [1]) for name, seconds in (("p", 2.0), ("d", 1.0), ("l", 0.99))
    )
    table = rows([plain, default, little], plain, default, False)
    # What was faster, but not by more than measurements vary, is not called slower.
    assert [row["outcome"] for row in table] == ["slower", "chosen", "less than 2% faster"]
    assert [row["speedup"] for row in table] == pytest.approx([1.0, 2.0, 2.0 / 0.99])
    take_back(table)
    assert [row["outcome"] for row in table] == ["slower", "not faster, measured again", "less than 2% faster"]


def test_a_loss_is_that_of_what_is_chosen():
    """Measured on samples that nothing was chosen by; what loses too much there leaves, and the next is looked at."""
    default, slow, fast = (Trial(name, {}, [seconds], [1]) for name, seconds in (("d", 3.0), ("s", 2.0), ("f", 1.0)))
    losses = {"s": 0.02, "f": 0.5}
    bench = SimpleNamespace(args=SimpleNamespace(max_loss=0.1), loss=lambda trial, chunks: losses[trial.name])
    assert confirmed([fast, slow, default], default, 0.01, bench, []) == (slow, 0.02)
    assert fast.fate == "loses 50.00% on samples it was not chosen by, more than 10.00%"
    losses["s"] = 0.2
    assert confirmed([slow], default, 0.01, bench, []) == (default, 0.01)
