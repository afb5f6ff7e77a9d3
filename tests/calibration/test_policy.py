import numpy as np
import pytest

from optimum_dynexec.calibration.candidates import CANDIDATES, RATES
from optimum_dynexec.calibration.policy import run_policy
from optimum_dynexec.calibration.risks import RISKS, token_disagreement
from optimum_dynexec.early_exit import load_criterion
from tests.calibration.synthetic import LAYERS, NUM_LAYERS, synthetic_records


RECORDS = synthetic_records(30, seed=5)
LOSSES = token_disagreement(RECORDS.predictions, None)


def one_by_one(criterion, row, losses):
    """The policy as it reads: for each sample, the first exit that passes."""
    scores = criterion.scores(RECORDS.statistics)
    taken = []
    for sample in scores:
        passing = [bool(criterion.passes(score, limit)) for score, limit in zip(sample, row, strict=True)]
        taken.append(passing.index(True) if True in passing else len(passing))
    depth = np.array([*LAYERS, NUM_LAYERS - 1])[taken] + 1
    return RECORDS.group_means(losses[np.arange(len(taken)), taken]), np.bincount(taken, minlength=3), depth.mean()


@pytest.mark.parametrize("name", ["max_prob", "margin", "entropy", "patience"])
@pytest.mark.parametrize("candidates", list(CANDIDATES))
def test_equals_the_plain_policy(name, candidates):
    criterion = load_criterion(name)
    thresholds = CANDIDATES[candidates](criterion, RECORDS, LOSSES)
    outcome = run_policy(RECORDS, criterion, thresholds, LOSSES)
    for index in np.unique(np.linspace(0, len(thresholds) - 1, 12).astype(int)):
        losses, counts, layers = one_by_one(criterion, thresholds[index], LOSSES)
        np.testing.assert_allclose(outcome.losses[index], losses, atol=1e-12)
        np.testing.assert_allclose(outcome.shares[index] * RECORDS.num_samples, counts)
        assert outcome.mean_layers[index] == pytest.approx(layers)


def test_losses_of_any_size():
    """A user's own, and one of the full model's too."""
    losses = np.random.default_rng(0).random(LOSSES.shape)
    criterion = load_criterion("max_prob")
    outcome = run_policy(RECORDS, criterion, np.array([[0.99, 0.98], [0.7, 0.6], [0.0, 0.0]]), losses)
    np.testing.assert_allclose(outcome.losses[1], one_by_one(criterion, [0.7, 0.6], losses)[0])
    np.testing.assert_allclose(outcome.losses[2], RECORDS.group_means(losses[:, 0]))


def test_an_exit_can_be_closed():
    criterion = load_criterion("entropy")
    never = criterion.never()
    outcome = run_policy(RECORDS, criterion, np.array([[never, never], [never, 100.0]]), LOSSES)
    assert outcome.shares.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert outcome.mean_layers.tolist() == [12, 8]


def test_nan_never_leaves():
    statistics = RECORDS.statistics
    statistics = type(statistics)(
        np.full_like(statistics.prediction, -1), *[np.full_like(statistics.max_prob, np.nan)] * 3
    )
    records = type(RECORDS)(LAYERS, NUM_LAYERS, statistics, RECORDS.full_prediction, RECORDS.group_sizes)
    for name in ("max_prob", "entropy", "patience"):
        criterion = load_criterion(name)
        outcome = run_policy(records, criterion, CANDIDATES["shared"](criterion, records, LOSSES), LOSSES)
        assert (outcome.shares[:, -1] == 1).all()


def test_order_is_checked():
    with pytest.raises(ValueError, match="most careful to the most daring"):
        run_policy(RECORDS, load_criterion("max_prob"), np.array([[0.5, 0.5], [0.5, 0.6]]), LOSSES)


def test_thresholds_per_exit_keep_the_error_rate_of_each():
    criterion = load_criterion("max_prob")
    thresholds = CANDIDATES["per_exit"](criterion, RECORDS, LOSSES)
    assert (np.diff(thresholds, axis=0) <= 0).all()
    assert (thresholds[-1] == 0).all()
    weights = np.repeat(1 / RECORDS.group_sizes, RECORDS.group_sizes)
    for index in (500, 800, 950):
        for column, limit in enumerate(thresholds[index]):
            leaving = weights * (criterion.scores(RECORDS.statistics)[:, column] >= limit)
            assert leaving.any()
            assert leaving @ LOSSES[:, column] <= RATES[index] * leaving.sum() + 1e-9


def test_risks():
    predictions = np.array([[1, 2, 2], [3, 3, 4]])
    assert RISKS["token_disagreement"](predictions, None).tolist() == [[1, 0, 0], [1, 1, 0]]
    # Full model right, then wrong where the exits are right.
    assert RISKS["accuracy"](predictions, np.array([2, 3])).tolist() == [[1, 0, 0], [0, 0, 0]]
