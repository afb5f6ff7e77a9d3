"""
The guarantee by repetition: over many data sets, the share whose chosen thresholds have a true risk above epsilon is
at most delta; and mutants of the procedure, with which it is not.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from optimum_dynexec.calibration import (
    CalibrationArguments,
    NoThresholdError,
    calibrate,
    conformal_risk_control,
    learn_then_test,
)
from optimum_dynexec.calibration.ltt import CORRECTIONS
from optimum_dynexec.calibration.p_values import P_VALUES
from optimum_dynexec.calibration.policy import run_policy
from optimum_dynexec.calibration.risks import RISKS
from tests.calibration.synthetic import synthetic_records


REPETITIONS = 200
TEXTS = 200
EPSILON, DELTA = 0.15, 0.1


@pytest.fixture(scope="module")
def truth():
    """`truth(calibrated)`: risk of the thresholds over all texts there could be, and the layers run."""
    everything = synthetic_records(5000, seed=10**6)
    losses = {name: risk(everything.predictions, everything.labels) for name, risk in RISKS.items()}

    def evaluate(calibrated) -> tuple[float, float]:
        found, criterion = calibrated.calibration, calibrated.criterion
        thresholds = np.array([[found.thresholds.get(layer, criterion.never()) for layer in everything.layers]])
        outcome = run_policy(everything, criterion, thresholds, losses[found.risk])
        return float(outcome.losses.mean()), float(outcome.mean_layers[0])

    return evaluate


@cache
def draw(texts: int, seed: int, tokens: tuple[int, int]):
    return synthetic_records(texts, seed, tokens=tokens)


def repeat(
    truth, change=lambda records: records, repetitions=REPETITIONS, texts=TEXTS, tokens=(3, 30), **options
) -> tuple[np.ndarray, np.ndarray]:
    """True risk and layers run of each repetition; one without thresholds has no risk and runs all layers."""
    outcomes = []
    for seed in range(repetitions):
        records = change(draw(texts, seed, tokens))
        try:
            outcomes.append(truth(calibrate(records, CalibrationArguments(epsilon=EPSILON, delta=DELTA, **options))))
        except NoThresholdError:
            outcomes.append((0.0, float(records.num_layers)))
    risks, layers = zip(*outcomes, strict=True)
    return np.array(risks), np.array(layers)


def allowed(repetitions=REPETITIONS, delta=DELTA) -> int:
    """More violations than this come up once in a thousand, if they have the probability delta."""
    return int(binom.ppf(0.999, repetitions, delta))


@pytest.mark.parametrize("method", ["hoeffding_bentkus", "wsr"])
@pytest.mark.parametrize("candidates", ["shared", "per_exit"])
def test_holds(truth, method, candidates):
    risks, layers = repeat(truth, method=method, candidates=candidates)
    assert (risks > EPSILON).sum() <= allowed()
    # Not vacuous: of 12 layers, the exits after 4 and 8 save a good part, and the risk allowed is used.
    assert layers.mean() < 8.5
    assert risks.mean() > EPSILON / 2


@pytest.mark.parametrize("criterion", ["entropy", "classifier"])
def test_holds_for_other_criteria(truth, criterion):
    risks, layers = repeat(truth, criterion=criterion, method="wsr")
    assert (risks > EPSILON).sum() <= allowed()
    assert layers.mean() < 8.5


def test_holds_for_accuracy(truth):
    risks, _ = repeat(truth, risk="accuracy", method="wsr")
    assert (risks > EPSILON).sum() <= allowed()
    assert risks.mean() > EPSILON / 2


def test_conformal_holds_in_expectation(truth):
    risks, layers = repeat(truth, method="conformal")
    # The mean over repetitions, with what it may be off by.
    assert risks.mean() <= EPSILON + 4 * risks.std() / np.sqrt(REPETITIONS)
    assert layers.mean() < 7.7


def test_mutant_with_the_measured_risk_breaks_it(truth, monkeypatch):
    monkeypatch.setitem(P_VALUES, "hoeffding_bentkus", lambda losses, epsilon, _: losses.mean(axis=-1) > epsilon)
    risks, _ = repeat(truth, repetitions=60)
    assert (risks > EPSILON).sum() > allowed(60)


@pytest.mark.parametrize("unit", ["text", "token"])
def test_mutant_that_counts_tokens_as_texts_breaks_it(truth, unit):
    """Of 60 texts, each says the same thing 20 times: that makes 60 observations, not 1,200."""

    def echo(records):
        again = records.select(np.repeat(np.arange(records.num_groups), 20))
        sizes = np.full(records.num_groups, 20) if unit == "text" else again.group_sizes
        return replace(again, group_sizes=sizes)

    risks, _ = repeat(truth, echo, 100, texts=60, tokens=(1, 1))
    assert ((risks > EPSILON).sum() > allowed(100)) == (unit == "token")


# ---- many candidates that each get a chance of their own ------------------------------------------------------------


def unrelated_candidates(seed: int) -> np.ndarray:
    """Losses `[candidates, n]` of 20 careful candidates within the risk and 100 just above it, all independent."""
    rng = np.random.default_rng(seed)
    risks = np.repeat([0.02, 0.055], [20, 100])[:, None]
    return (rng.random((120, 200)) < risks).astype(float)


def share_above(correction: str) -> float:
    chosen = [
        learn_then_test(unrelated_candidates(seed), 0.05, DELTA, "binomial", correction).chosen for seed in range(300)
    ]
    return np.mean([index is not None and index >= 20 for index in chosen])


@pytest.mark.parametrize("correction", list(CORRECTIONS))
def test_many_candidates(correction):
    assert share_above(correction) * 300 <= allowed(300)


def test_mutant_without_correction_breaks_it(monkeypatch):
    monkeypatch.setitem(CORRECTIONS, "none", lambda p_values, delta: p_values <= delta)
    assert share_above("none") > 0.9


def test_conformal_wants_its_losses_monotone():
    """Where a more daring candidate happens to have a smaller loss, the unchanged loss would be chosen by luck."""
    bad = good = 0
    for seed in range(300):
        losses = unrelated_candidates(seed)
        chosen = conformal_risk_control(losses, 0.05)
        good += chosen is not None and chosen >= 20
        bad += int(np.flatnonzero((losses.sum(axis=1) + 1) / 201 <= 0.05)[-1]) >= 20
    assert bad > 290
    assert good < 100
