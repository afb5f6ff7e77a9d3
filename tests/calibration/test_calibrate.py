import json
from dataclasses import replace

import numpy as np
import pytest

from optimum_dynexec.calibration import CalibrationArguments, NoThresholdError, calibrate
from optimum_dynexec.calibration.methods import METHODS
from optimum_dynexec.calibration.policy import run_policy
from optimum_dynexec.calibration.risks import risk_interval, token_disagreement
from optimum_dynexec.directory.calibration import Calibration
from optimum_dynexec.directory.errors import CalibrationError
from optimum_dynexec.early_exit import EarlyExitConfig, criterion_names
from optimum_dynexec.early_exit.criteria import CRITERIA
from tests.calibration.synthetic import synthetic_records


RECORDS = synthetic_records(300, seed=1)


@pytest.mark.parametrize("criterion", [name for name in criterion_names() if not CRITERIA[name].needs_certainty])
def test_every_criterion(criterion):
    found = calibrate(RECORDS, CalibrationArguments(criterion=criterion, epsilon=0.15)).calibration
    assert found.criterion == criterion
    assert found.measured_risk < found.upper_bound <= 0.15 + 1e-6
    assert found.risk_interval[0] < found.measured_risk < found.risk_interval[1]
    assert found.p_value <= 0.05
    assert 4 <= found.mean_layers < 12
    assert sum(found.exit_shares.values()) == pytest.approx(1)
    assert list(found.exit_shares) == [3, 7, 11]
    # What it says can be used as it is.
    config = found.early_exit(kv="copy")
    assert config == EarlyExitConfig(criterion, thresholds=found.thresholds, kv="copy")
    assert [layer for layer, t in zip((3, 7), config.thresholds_for([3, 7]), strict=True) if np.isfinite(t)] == list(
        found.thresholds
    )


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method(method):
    records = synthetic_records(400, seed=2, tokens=(1, 1)) if method == "binomial" else RECORDS
    found = calibrate(records, CalibrationArguments(method=method, epsilon=0.15)).calibration
    assert found.method == method
    assert found.delta == (None if method == "conformal" else 0.05)
    assert ("expected" in found.guarantee) == (method == "conformal")
    assert found.mean_layers < 10


def test_describes_what_it_measured():
    records = replace(RECORDS, model_hash="sha256:" + "a" * 64, head_hashes={3: "x", 7: "y"}, source={"data": ["d"]})
    calibrated = calibrate(records, CalibrationArguments(epsilon=0.15))
    found = calibrated.calibration
    assert (found.num_texts, found.num_tuning_texts, found.num_samples) == (300, 0, records.num_samples)
    assert found.data_hash == records.data_hash
    assert (found.model_hash, found.head_hashes, found.source) == (
        records.model_hash,
        {3: "x", 7: "y"},
        {"data": ["d"]},
    )
    thresholds = np.array([[found.thresholds[3], found.thresholds[7]]])
    losses = token_disagreement(records.predictions, None)
    outcome = run_policy(records, calibrated.criterion, thresholds, losses)
    assert outcome.losses.mean() == pytest.approx(found.measured_risk)
    assert outcome.mean_layers[0] == pytest.approx(found.mean_layers)
    assert found.guarantee == (
        "disagreement with the full model at most 15% with confidence 95% (hoeffding_bentkus, 300 texts)"
    )
    # The risk is named after what is measured, and the accuracy is not what is at most this.
    assert replace(found, risk="accuracy").guarantee.startswith("accuracy loss at most 15% ")


def test_the_interval_of_a_risk():
    # Nothing lost on few texts is not nothing lost.
    assert risk_interval(np.zeros(20)) == pytest.approx([0, 0.1684], abs=1e-4)
    assert risk_interval(np.eye(1, 20)[0]) == pytest.approx([0.0013, 0.2487], abs=1e-4)
    low, high = risk_interval(np.array([0.1, 0.2, 0.3, 0.2]))
    assert (low, high) == pytest.approx((0.2 - 3.182 * 0.0408, 0.2 + 3.182 * 0.0408), abs=1e-3)
    assert risk_interval(np.array([0.5])) is None


@pytest.mark.parametrize("options", [{"criterion": "classifier"}, {"candidates": "per_exit"}])
def test_tuning_texts_are_not_tested_on(options):
    found = calibrate(RECORDS, CalibrationArguments(epsilon=0.15, tuning_share=0.4, **options)).calibration
    assert (found.num_tuning_texts, found.num_texts) == (120, 180)
    assert found.data_hash == RECORDS.data_hash


def test_same_seed_same_thresholds():
    options = {"epsilon": 0.15, "criterion": "classifier", "method": "wsr"}
    first = calibrate(RECORDS, CalibrationArguments(**options), seed=3).calibration
    assert first == calibrate(RECORDS, CalibrationArguments(**options), seed=3).calibration
    assert first != calibrate(RECORDS, CalibrationArguments(**options), seed=4).calibration


def test_json_round_trip():
    found = calibrate(RECORDS, CalibrationArguments(epsilon=0.15)).calibration
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


@pytest.mark.parametrize("values", [None, [], {"x": 1}, {"criterion": "max_prob"}])
def test_bad_calibration_is_refused(values):
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_dict(values)


def test_layers_of_a_calibration_are_checked():
    values = calibrate(RECORDS, CalibrationArguments(epsilon=0.15)).calibration.to_dict()
    with pytest.raises(ValueError, match="`thresholds` must have layers as keys"):
        Calibration.from_dict({**values, "thresholds": {"first": 0.5}})


def half_wrong(predictions, labels):
    return 0.5 * token_disagreement(predictions, labels)


def test_own_risk():
    found = calibrate(RECORDS, CalibrationArguments(risk=half_wrong, epsilon=0.075, criterion="margin")).calibration
    assert found.risk == "half_wrong"
    named = calibrate(
        RECORDS, CalibrationArguments(risk=f"{__name__}:half_wrong", epsilon=0.075, criterion="margin")
    ).calibration
    assert replace(named, risk="half_wrong") == found


@pytest.mark.parametrize(
    ("risk", "message"),
    [
        ("bleu", "`risk` must be one of .*'token_disagreement'.* or package.module:function, but it is 'bleu'"),
        ("no.such.module:f", "cannot be imported"),
        ("json:nothing", "cannot be imported"),
        (lambda predictions, labels: predictions[:, 0], "of the shape"),
        (lambda predictions, labels: 2.0 * np.ones(predictions.shape), "must return numbers from 0 to 1"),
        (lambda predictions, labels: np.full(predictions.shape, np.nan), "must return numbers from 0 to 1"),
    ],
)
def test_bad_risks(risk, message):
    with pytest.raises(CalibrationError, match=message):
        calibrate(RECORDS, CalibrationArguments(risk=risk))


def test_accuracy_needs_labels():
    with pytest.raises(CalibrationError, match="needs labels"):
        calibrate(replace(RECORDS, labels=None), CalibrationArguments(risk="accuracy"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0}, "`epsilon` must be between 0 and 1"),
        ({"epsilon": 1.0}, "`epsilon` must be between 0 and 1"),
        ({"delta": "0.1"}, "`delta` must be between 0 and 1, but it is '0.1'"),
        ({"tuning_share": 1.5}, "`tuning_share`"),
        ({"method": "mean"}, "`method` must be one of .*'wsr'.* but it is 'mean'"),
        ({"candidates": "all"}, "`candidates` must be one of .*'shared'"),
        ({"criterion": "mood"}, "`criterion` must be one of .*'patience'"),
        ({"criterion": "settled"}, "'settled' judges embeddings"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        calibrate(RECORDS, CalibrationArguments(**options))


def of_texts(predictions, labels):
    """The labels are the losses, wherever a sample leaves."""
    return np.repeat(labels[:, None].astype(float), predictions.shape[1], axis=1)


def with_wrong_texts(count, wrong):
    few = RECORDS.select(np.arange(count))
    return replace(few, labels=np.repeat(np.arange(count) < wrong, few.group_sizes).astype(np.int64))


def test_too_few_texts_says_how_many():
    message = r"no threshold .* epsilon = 0.05 .* 70 texts: .* risk of 1.43% .95% interval .* needs about n=\d+ texts"
    with pytest.raises(NoThresholdError, match=message) as raised:
        calibrate(with_wrong_texts(70, 1), CalibrationArguments(risk=of_texts, epsilon=0.05))
    assert 70 < raised.value.needed < 200


@pytest.mark.parametrize(
    ("count", "options", "needed"),
    [
        (58, {}, 59),
        (100, {"epsilon": 0.01, "delta": 0.1}, 230),
        (18, {"method": "conformal"}, 19),
        (1, {"epsilon": 0.5}, 5),
        # 3 in 10 of them are not tested.
        (83, {"candidates": "per_exit"}, 85),
    ],
)
def test_too_few_texts_for_no_error_at_all(count, options, needed):
    """No loss is looked at: they say so whatever the risk is."""

    def unread(predictions, labels):
        raise AssertionError("the losses were computed")

    args = CalibrationArguments(risk=unread, **{"epsilon": 0.05, **options})
    message = f"cannot be shown even without an error: that needs {needed}"
    with pytest.raises(NoThresholdError, match=rf"With {count} texts?, epsilon {args.epsilon} {message}") as raised:
        calibrate(RECORDS.select(np.arange(count)), args)
    assert raised.value.needed == needed
    with pytest.raises(AssertionError, match="were computed"):
        calibrate(RECORDS.select(np.arange(needed)), args)


def test_hopeless_heads_say_so():
    wrong = replace(RECORDS, full_prediction=RECORDS.full_prediction + 1000)
    with pytest.raises(NoThresholdError, match="texts will not help.*better heads") as raised:
        calibrate(wrong, CalibrationArguments(criterion="patience", epsilon=0.05))
    assert raised.value.needed is None
    # With few texts, the measured risk is above epsilon by chance: 5 errors in 12 are not shown to be above 0.3.
    with pytest.raises(NoThresholdError, match="41.67% .95% interval .*does not show whether .* use more texts"):
        calibrate(with_wrong_texts(12, 5), CalibrationArguments(risk=of_texts, epsilon=0.3))


def test_nothing_ever_leaves():
    statistics = RECORDS.statistics
    changing = np.stack(
        [np.zeros(len(statistics.prediction), np.int64), np.ones(len(statistics.prediction), np.int64)], 1
    )
    records = replace(RECORDS, statistics=replace(statistics, prediction=changing))
    with pytest.raises(NoThresholdError, match="no input is confident enough to leave by the criterion 'patience'"):
        calibrate(records, CalibrationArguments(criterion="patience"))


def test_patience_needs_two_exits():
    statistics = RECORDS.statistics
    one = {name: getattr(statistics, name)[:, :1] for name in ("prediction", "max_prob", "margin", "entropy")}
    records = replace(RECORDS, layers=(3,), statistics=type(statistics)(**one))
    with pytest.raises(ValueError, match="at least 2"):
        calibrate(records, CalibrationArguments(criterion="patience"))
    assert calibrate(records, CalibrationArguments(epsilon=0.2)).calibration.thresholds.keys() == {3}


def test_one_text_is_too_few():
    with pytest.raises(NoThresholdError, match="With 1 text, epsilon 0.05 .* needs 59"):
        calibrate(RECORDS.select(np.array([0])))
