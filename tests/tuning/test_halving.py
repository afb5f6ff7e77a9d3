"""Successive halving on made-up costs: the fastest wins, what loses too much does not, time is kept."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from optimum_dynexec.early_exit import EarlyExitConfig
from optimum_dynexec.tuning import choice
from optimum_dynexec.tuning.choice import compared, decide, rows
from optimum_dynexec.tuning.encoder import confirmed
from optimum_dynexec.tuning.halving import Measurement, Trial, speed_ratio, successive_halving


def runner(costs, losses=None, calls=None):
    def run(trial, item):
        if calls is not None:
            calls.append((trial.name, item))
        return Measurement(costs[trial.name] * (1 + 0.01 * (item % 3)), 20, (losses or {}).get(trial.name, 0))

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
    assert by_name["e"].fate.startswith("slower than other settings after")
    assert by_name["b"].cost == pytest.approx(0.05, rel=0.02)
    # A first run that does not count, then item after item, in an order that changes.
    assert [name for name, _ in calls[:6]] == list(costs)
    rounds = [tuple(name for name, item in calls[6:] if item == k) for k in range(3)]
    assert all(sorted(names) == sorted(costs) for names in rounds)
    assert len(set(rounds)) > 1


def test_limit_of_loss():
    costs, losses = {"off": 5.0, "wild": 1.0, "careful": 3.0}, {"wild": 4}
    trials = [Trial(name, {}) for name in costs]
    finished = successive_halving(
        trials, [1, 2, 3, 4], runner(costs, losses), baseline=trials[0], deadline=far(), max_loss=0.01, progress=False
    )
    assert [trial.name for trial in finished] == ["careful", "off"]
    assert trials[1].fate == "loses 20.00% (95% interval 12.70% to 30.05%, 80 samples), more than 1.00%"


def test_what_is_safe_remains_where_the_fastest_lose_too_much():
    costs = {"off": 5.0, "a": 1.0, "b": 1.1, "c": 1.2, "d": 1.3, "safe": 3.0}
    trials = [Trial(name, {}) for name in costs]

    def run(trial, item):
        # What loses shows late.
        return Measurement(costs[trial.name], 2, 2 * (item > 12 and trial.name in "abcd"))

    def names(safe):
        for trial in trials:
            trial.__init__(trial.name, {})
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


def test_few_items_are_run_again():
    """One prompt is not one run: nothing is given up on fewer than five, and answers count once."""
    costs = {"off": 5.0, "a": 4.0, "b": 1.0, "c": 3.0, "d": 2.0}
    trials = [Trial(name, {}) for name in costs]
    run = runner(costs, {"off": 1})
    finished = successive_halving(trials, [7], run, baseline=trials[0], deadline=far(), progress=False)
    assert finished[0].name == "b"
    assert min(len(trial.seconds) for trial in trials) == 5
    assert (trials[0].lost, trials[0].judged, len(trials[0].seconds)) == (1, 20, 15)


# ---- the last comparison, on a clock as noisy as that of a shared machine ----------------------------------------


def noisy(speeds, seed, spread=0.1):
    """Runs that take longer now and then, and all the more while something else runs."""
    draw = np.random.default_rng(seed)
    state = {"busy": 1.0}

    def run(trial, item):
        if draw.random() < 0.05:
            state["busy"] = float(draw.choice([1.0, 1.5, 2.5]))
        outlier = 3.0 if draw.random() < 0.02 else 1.0
        noise = float(np.exp(draw.normal(0, spread)))
        return Measurement((1 + item % 4) * state["busy"] * outlier * noise / speeds.get(trial.name, 1.0), 8)

    return run


def tuned(speeds, seed, names="abcdefgh", spread=0.1):
    run, items = noisy(speeds, seed, spread), list(range(12))
    trials = [Trial("base", {}), *(Trial(name, {}) for name in names)]
    finished = successive_halving(trials, items, run, baseline=trials[0], deadline=far(), seed=seed, progress=False)
    leader = next(trial for trial in finished if trial is not trials[0])
    return decide(trials[0], [leader], items, run, deadline=far(), seed=seed, progress=False)


def test_of_equals_the_baseline_stays():
    found = [tuned({}, seed) for seed in range(200)]
    assert sum(decision.chosen.name == "base" for decision in found) >= 190
    assert any(
        "undecided, because the machine is too noisy for 24 rounds: " in decision.sentence for decision in found
    )


def test_mutant_that_trusts_the_ratio_gives_the_baseline_up(monkeypatch):
    """Without the interval, what happens to be ahead is taken."""
    monkeypatch.setattr(choice, "_verdict", lambda trial, base, _: (speed_ratio(trial, base)[0] >= 1.02, ""))
    assert sum(tuned({}, seed).chosen.name == "base" for seed in range(40)) < 38


def test_what_is_faster_is_found():
    found = [tuned({"c": 1.2}, seed) for seed in range(60)]
    assert sum(decision.chosen.name == "c" for decision in found) >= 54
    # What is slower is not chosen, nor what nobody would notice.
    slower = [tuned(dict.fromkeys("abcdefgh", 0.9), seed) for seed in range(20)]
    assert {decision.chosen.name for decision in slower} == {"base"}
    little = [tuned({"c": 1.01}, seed, spread=0.001) for seed in range(20)]
    assert sum(decision.chosen.name == "base" for decision in little) >= 18


def test_a_machine_that_is_too_noisy_keeps_the_baseline():
    decision = tuned({"c": 1.05}, 0, names="c", spread=1.0)
    assert decision.chosen.name == "base"
    assert decision.sentence.startswith(
        "base is kept; c is undecided, because the machine is too noisy for 24 rounds: "
    )
    assert decision.outcomes[0] == "chosen"


def test_what_a_decision_is_of():
    costs = {"base": 1.0, "c": 0.5}
    trials = [Trial(name, {}) for name in costs]
    found = decide(trials[0], trials[1:], [1, 2], runner(costs), deadline=far(), progress=False)
    assert found.sentence == "c is faster than base: 2.00x (interval 2.00 to 2.00, 24 rounds)"
    values = compared(found, found.trials[0])
    assert values["baseline"]["seconds"] == pytest.approx(2 * values["best"]["seconds"])
    assert values["speedup_interval"] == pytest.approx([2, 2])
    assert values["rounds"] == 24
    # One round shows nothing.
    late = decide(trials[0], trials[1:], [1], runner(costs), deadline=time.monotonic() - 1, progress=False)
    assert late.chosen.name == "base"
    assert late.sentence == "base is kept; c is undecided: there was time for only 1 round"
    alone = decide(trials[0], [], [1], runner(costs), deadline=far(), progress=False)
    assert alone.sentence == "nothing was faster than base"
    assert compared(alone, alone.trials[0])["speedup_interval"] is None


def test_the_table_of_a_search():
    plain, fast, gone = (
        Trial(name, {}, [seconds] * 6, [1] * 6) for name, seconds in (("p", 2.0), ("f", 1.0), ("g", 4.0))
    )
    gone.fate = "slower than other settings after 6 runs"
    table = rows([plain, fast, gone, Trial("never run", {})], plain, None, False)
    # What leads a search is not chosen yet.
    assert [row["outcome"] for row in table] == ["slower", "leads", gone.fate]
    assert [row["speedup"] for row in table] == pytest.approx([1.0, 2.0, 0.5])
    assert all(row["interval"] == pytest.approx([row["speedup"]] * 2) for row in table)


def test_a_limit_must_be_shown_on_samples_that_nothing_was_chosen_by():
    guess = {"exit": EarlyExitConfig(criterion="max_prob", threshold=0.5)}
    default, slow, fast = (Trial(name, dict(guess)) for name in ("d", "s", "f"))
    checks = {"s": (1, 100), "f": (50, 100)}

    def check(trial):
        lost, count = checks[trial.name]
        return Trial(trial.name, {}, lost=lost, judged=count)

    bench = SimpleNamespace(args=SimpleNamespace(max_loss=0.1), check=check)
    assert confirmed([fast, slow, default], default, bench) is slow
    assert fast.fate.startswith("loses 50.00% (95% interval 40.")
    assert fast.fate.endswith(", 100 samples) on the samples that were not used to choose it, more than 10.00%")
    # The same share of so few samples shows nothing: neither within the limit nor beyond it.
    checks["s"] = (0, 20)
    assert confirmed([slow, default], default, bench) is default
    assert slow.fate.startswith("undecided: loses 0.00% (95% interval ")
    assert slow.fate.endswith("the limit is 10.00%; about 35 samples would decide")
    # What is calibrated has its guarantee already.
    slow.options["exit"] = "calibrated"
    assert confirmed([slow, default], default, bench) is slow
