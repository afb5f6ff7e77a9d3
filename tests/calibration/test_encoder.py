"""Calibration of classifiers: what is recorded, what thresholds guarantee, and what they cost."""

import json
import shutil
from dataclasses import replace

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from scipy.stats import binom

from optimum_dynexec import DynExecConfig, DynExecModelForSequenceClassification
from optimum_dynexec.calibration import (
    CalibrationArguments,
    EncoderRecordingArguments,
    NoThresholdError,
    calibrate,
    calibrate_budget,
    calibrate_encoder,
    record_encoder,
)
from optimum_dynexec.calibration.encoder import BATCH_SIZE
from optimum_dynexec.calibration.flops import exit_costs
from optimum_dynexec.calibration.policy import run_policy
from optimum_dynexec.calibration.risks import RISKS
from optimum_dynexec.data.batches import lengths_of, sorted_batches
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import read_samples
from optimum_dynexec.directory import attach_heads
from optimum_dynexec.directory.errors import CalibrationError
from optimum_dynexec.directory.freshness import load_calibration
from optimum_dynexec.early_exit.criteria import criterion_class
from optimum_dynexec.training import EncoderTrainingArguments, train_encoder_heads
from optimum_dynexec.training.encoder.shape import HeadOptions
from tests.calibration.synthetic import synthetic_records
from tests.tiny_models import TEXT


REPETITIONS, DRAWN = 200, 200
DELTA = 0.1
COSTS = np.array([0.35, 0.7, 1.02])


def random_texts(path, seed):
    """Writes texts of random words with random labels."""
    words = sorted({word for line in TEXT for word in line.split()})
    generator = np.random.default_rng(seed)
    rows = [
        {
            "text": " ".join(generator.choice(words, generator.integers(1, 8))),
            "label": f"class_{generator.integers(3)}",
        }
        for _ in range(600)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return random_texts(tmp_path_factory.mktemp("data") / "data.jsonl", 5)


@pytest.fixture(scope="module")
def training_data(tmp_path_factory):
    return random_texts(tmp_path_factory.mktemp("data") / "train.jsonl", 6)


@pytest.fixture(scope="module")
def classifier(tiny_encoder, training_data, tmp_path_factory):
    """A tiny model whose heads have learned what it says, with certainty."""
    base = tmp_path_factory.mktemp("classifier")
    shutil.copytree(tiny_encoder("bert"), base / "model")
    train_encoder_heads(
        base / "model",
        base / "heads",
        task="text-classification",
        data=[training_data],
        head=HeadOptions(certainty=True),
        training_arguments=EncoderTrainingArguments(epochs=8, label_weight=0.0, learning_rate=5e-3, batch_size=32),
        progress=False,
    )
    attach_heads(base / "model", base / "heads")
    return base / "model"


@pytest.fixture(scope="module")
def recorded(classifier, data):
    return record_encoder(classifier, [str(data)], EncoderRecordingArguments(precision="exact"), progress=False)


def test_records_are_what_the_model_says(classifier, data, recorded):
    records = recorded.records
    assert records.layers == (0, 1, 2)
    assert records.num_layers == 4
    assert records.num_groups == records.num_samples == 600
    model = DynExecModelForSequenceClassification.from_pretrained(classifier, precision="exact")
    samples = read_samples([data])
    inputs, _ = load_inputs(classifier, "text-classification")
    assert records.labels.tolist() == samples.label_ids(model.config.label2id).tolist()
    # The tiny tokenizer pads before the text, so that what a model says depends on the batch.
    first = sorted_batches(lengths_of(samples.inputs), BATCH_SIZE)[0]
    said = model.exit_logits(**inputs(samples.select(first), 128))
    assert (records.full_prediction[first] == said[3]["logits"].argmax(-1).numpy()).all()
    for index, layer in enumerate(records.layers):
        probabilities = said[layer]["logits"].softmax(-1)
        assert (records.statistics.prediction[first, index] == probabilities.argmax(-1).numpy()).all()
        np.testing.assert_allclose(records.statistics.max_prob[first, index], probabilities.amax(-1), atol=1e-5)
        certainty = said[layer]["dynexec.certainty"][:, 0]
        np.testing.assert_allclose(records.statistics.certainty[first, index], certainty, atol=1e-5)
    agree = (records.statistics.prediction == records.full_prediction[:, None]).mean(axis=0)
    assert (agree > 0.4).all()
    assert ((records.statistics.certainty > 0) & (records.statistics.certainty < 1)).all()


@pytest.fixture(scope="module")
def epsilon(recorded):
    """A risk that some thresholds have and others exceed: half of that of leaving at the first exit at once."""
    losses = RISKS["disagreement"](recorded.records.predictions, None)
    return 0.5 * float(losses[:, 0].mean())


@pytest.mark.parametrize("criterion", ["max_prob", "learned"])
def test_the_guarantee_holds_by_repetition(recorded, epsilon, criterion):
    """What was recorded is taken for all there is; data sets are drawn from it."""
    everything = recorded.records
    losses = RISKS["disagreement"](everything.predictions, None)
    kind = criterion_class(criterion)
    above, layers = 0, []
    for seed in range(REPETITIONS):
        drawn = np.random.default_rng(seed).integers(0, everything.num_groups, DRAWN)
        try:
            found = calibrate(
                everything.select(drawn),
                CalibrationArguments(risk="disagreement", epsilon=epsilon, delta=DELTA, criterion=criterion),
            ).calibration
        except NoThresholdError:
            layers.append(everything.num_layers)
            continue
        thresholds = np.array([[found.thresholds.get(layer, kind.never()) for layer in everything.layers]])
        outcome = run_policy(everything, kind.load(None), thresholds, losses)
        above += float(outcome.losses.mean()) > epsilon
        layers.append(float(outcome.mean_layers[0]))
    assert above <= binom.ppf(0.999, REPETITIONS, DELTA)
    # Not vacuous: something leaves.
    assert np.mean(layers) < everything.num_layers - 0.2


def test_mutant_that_trusts_the_measured_risk_breaks_it(recorded, epsilon, monkeypatch):
    from optimum_dynexec.calibration.p_values import P_VALUES

    monkeypatch.setitem(P_VALUES, "hoeffding_bentkus", lambda losses, epsilon, _: losses.mean(axis=-1) > epsilon)
    everything = recorded.records
    losses = RISKS["disagreement"](everything.predictions, None)
    above = 0
    for seed in range(60):
        drawn = np.random.default_rng(seed).integers(0, everything.num_groups, DRAWN)
        found = calibrate(
            everything.select(drawn), CalibrationArguments(risk="disagreement", epsilon=epsilon, delta=DELTA)
        ).calibration
        thresholds = np.array([[found.thresholds.get(layer, np.inf) for layer in everything.layers]])
        above += (
            float(run_policy(everything, criterion_class("max_prob").load(None), thresholds, losses).losses.mean())
            > epsilon
        )
    assert above > binom.ppf(0.999, 60, DELTA)


def test_calibrated_thresholds_are_used(classifier, data, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(classifier, directory)
    found = calibrate_encoder(
        directory,
        data=[str(data)],
        recording=EncoderRecordingArguments(precision="exact"),
        progress=False,
        args=CalibrationArguments(epsilon=0.3),
    )
    assert found.measured_risk < 0.3
    assert 0 < found.mean_flops < 1.1
    assert load_calibration(directory) == found
    # Its labels are random.
    assert 1 / 3 <= found.most_frequent < 0.5
    assert ["always answering the most frequent label" in warning for warning in found.warnings] == [True]
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")
    inputs, _ = load_inputs(directory, "text-classification")
    samples = read_samples([data]).select(range(64))
    output = model(**inputs(samples, 128), early_exit="calibrated")
    assert set(output.exit_layer.tolist()) <= {*found.thresholds, 3}
    assert (output.exit_layer < 3).any()


def test_labels_that_calibration_has_not_seen(recorded, classifier, data, tmp_path):
    """A class without a sample in the data: thresholds hold for all, and the model still gives it as an answer."""
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    unseen = int(np.bincount(recorded.records.full_prediction, minlength=3).argmax())
    (tmp_path / "data.jsonl").write_text(
        "\n".join(json.dumps(row) for row in rows if row["label"] != f"class_{unseen}")
    )
    shutil.copytree(classifier, tmp_path / "model")
    found = calibrate_encoder(
        tmp_path / "model",
        data=[str(tmp_path / "data.jsonl")],
        recording=EncoderRecordingArguments(precision="exact"),
        progress=False,
        args=CalibrationArguments(risk="accuracy", epsilon=0.3),
    )
    assert found.num_texts == sum(row["label"] != f"class_{unseen}" for row in rows)
    model = DynExecModelForSequenceClassification.from_pretrained(tmp_path / "model", precision="exact")
    inputs, _ = load_inputs(classifier, "text-classification")
    output = model(**inputs(read_samples([data]), 128), early_exit="calibrated")
    assert (output.logits.argmax(-1) == unseen).any()
    (tmp_path / "data.jsonl").write_text(json.dumps({"text": "fox", "label": "class_9"}))
    with pytest.raises(ValueError, match="the data has the label 'class_9', but the labels of the model are"):
        calibrate_encoder(tmp_path / "model", data=[str(tmp_path / "data.jsonl")], progress=False)


def test_stricter_is_slower(recorded):
    layers = []
    for epsilon in (0.15, 0.25, 0.35):
        found = calibrate(
            recorded.records, CalibrationArguments(risk="disagreement", epsilon=epsilon, delta=0.1)
        ).calibration
        assert found.measured_risk <= epsilon
        layers.append(found.mean_layers)
    assert layers == sorted(layers, reverse=True)


@pytest.mark.parametrize("criterion", ["max_prob", "entropy", "classifier"])
@pytest.mark.parametrize("budget", [0.4, 0.6, 0.9])
def test_budget(criterion, budget):
    """On other samples, too, the mean cost is what was asked for, as far as chance allows."""
    records = synthetic_records(3000, seed=1, tokens=(1, 1))
    made = calibrate_budget(records, COSTS, budget, criterion=criterion)
    found = made.calibration
    assert found.mean_flops <= budget
    assert found.mean_flops > budget - 0.02
    assert (found.budget_flops, found.epsilon, found.method) == (budget, None, "budget")
    assert "no risk is guaranteed" in found.guarantee
    others = synthetic_records(3000, seed=2, tokens=(1, 1))
    thresholds = np.array([[found.thresholds.get(layer, made.criterion.never()) for layer in others.layers]])
    losses = RISKS["disagreement"](others.predictions, None)
    outcome = run_policy(others, made.criterion, thresholds, losses)
    assert float(outcome.shares[0] @ COSTS) == pytest.approx(budget, abs=0.05)


def test_a_larger_budget_errs_less():
    records = synthetic_records(3000, seed=1, tokens=(1, 1))
    risks = [calibrate_budget(records, COSTS, budget).calibration.measured_risk for budget in (0.4, 0.6, 0.8, 0.95)]
    assert risks == sorted(risks, reverse=True)
    assert risks[0] > 2 * risks[-1]


@pytest.mark.parametrize("budget", [0.3, 1.2, None, float("nan")])
def test_budgets_that_cannot_be(budget):
    with pytest.raises(CalibrationError, match="`budget_flops` must be between 0.350"):
        calibrate_budget(synthetic_records(50, seed=1, tokens=(1, 1)), COSTS, budget)


def test_samples_that_are_never_sure():
    records = synthetic_records(50, seed=1, tokens=(1, 1))
    never = np.full_like(records.statistics.max_prob, np.nan)
    records = replace(records, statistics=replace(records.statistics, max_prob=never))
    with pytest.raises(CalibrationError, match="never sure enough"):
        calibrate_budget(records, COSTS, 0.5)


def test_costs_by_hand():
    """Two layers of 8 to 8 numbers and an output of 3, on 5 tokens; a head of 8 to 3."""

    def linear(x, rows, columns, name):
        node = ops.matmul(x, ops.constant(np.ones((rows, columns), np.float32)), False, True)
        node.set_friendly_name(name)
        return node

    x = ops.parameter([-1, -1, 8], np.float32)
    x.output(0).set_names({"x"})
    first = linear(x, 8, 8, "first")
    out = linear(linear(first, 8, 8, "second"), 3, 8, "out")
    model = ov.Model([out], [x], "model")
    state = ops.parameter([-1, -1, 8], np.float32)
    state.output(0).set_names({"dynexec.hidden_states"})
    head = ov.Model([linear(state, 3, 8, "head")], [state], "head")
    costs = exit_costs(model, {0: "first"}, {0: head}, {"x": [1, 5, 8]})
    whole = 2 * 64 + 24
    np.testing.assert_allclose(costs, [(64 + 24) / whole, (whole + 24) / whole])


def test_costs_of_a_transformer(recorded):
    """Of 4 equal layers, an exit after k takes about k quarters, and heads a little."""
    assert recorded.costs[:3] == pytest.approx([0.25, 0.5, 0.75], abs=0.1)
    assert (np.diff(recorded.costs) > 0).all()
    assert 1.0 < recorded.costs[3] < 1.2


def test_errors(tiny_encoder, classifier, data, tmp_path):
    embeddings = tiny_encoder("bert", "feature-extraction")
    with pytest.raises(CalibrationError, match="encoders can be calibrated for"):
        calibrate_encoder(embeddings, data=[str(data)])
    directory = tmp_path / "model"
    shutil.copytree(classifier, directory)
    config = DynExecConfig.from_pretrained(directory)
    config.heads = {}
    config.save_pretrained(directory)
    with pytest.raises(CalibrationError, match="no exit heads"):
        calibrate_encoder(directory, data=[str(data)])
    with pytest.raises(CalibrationError, match="needs labels"):
        calibrate_encoder(
            classifier, data=[_unlabelled(data, tmp_path)], progress=False, args=CalibrationArguments(risk="accuracy")
        )


def _unlabelled(data, directory) -> str:
    path = directory / "texts.txt"
    path.write_text("\n".join(read_samples([data]).inputs[:50]))
    return str(path)


def test_what_the_data_lacks_is_said_before_the_model_runs(classifier, data, training_data, tmp_path, monkeypatch):
    def ran(*_, **__):
        raise AssertionError("the model ran before the data was checked")

    monkeypatch.setattr("optimum_dynexec.runtime.encoder_exits.EncoderExits", ran)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(json.loads(line)["text"] for line in data.read_text().splitlines()))
    with pytest.raises(CalibrationError, match="the risk 'accuracy' needs labels.*--label-column"):
        calibrate_encoder(classifier, data=[texts], args=CalibrationArguments(risk="accuracy"), progress=False)
    with pytest.raises(CalibrationError, match=r"their shape is \(2,\)"):
        wrong = CalibrationArguments(risk=lambda said, labels: said[:, 0])
        calibrate_encoder(classifier, data=[texts], args=wrong, progress=False)
    with pytest.raises(NoThresholdError, match="With 600 samples, epsilon 0.001 cannot be shown .* needs 2995"):
        calibrate_encoder(classifier, data=[data], args=CalibrationArguments(epsilon=0.001), progress=False)
    # All samples, and a third of them.
    rows = [*training_data.read_text().splitlines()[:200], *data.read_text().splitlines()[:400]]
    (tmp_path / "mixed.jsonl").write_text("\n".join(rows))
    for source in (training_data, tmp_path / "mixed.jsonl"):
        with pytest.raises(
            CalibrationError, match="exit_head_0 was trained on about .*so the guarantee would not hold"
        ):
            calibrate_encoder(classifier, data=[source], progress=False)
    model = shutil.copytree(classifier, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    with pytest.raises(ValueError, match="this model is for multi_label_classification"):
        calibrate_encoder(model, data=[texts], progress=False)


def test_accuracies_of_the_full_model_and_of_the_one_that_leaves():
    """Counted by hand, in a loop over samples."""
    records = synthetic_records(300, 0)
    labels = records.labels
    found = calibrate(records, CalibrationArguments(epsilon=0.3, delta=0.5)).calibration
    scores = records.scores(criterion_class("max_prob").load(None))
    assert found.most_frequent is None
    right = []
    for sample in range(records.num_samples):
        passing = [scores[sample, k] > found.thresholds.get(layer, np.inf) for k, layer in enumerate(records.layers)]
        exit_ = passing.index(True) if any(passing) else len(passing)
        right.append(records.predictions[sample, exit_] == labels[sample])
    assert found.accuracy == pytest.approx(float(records.group_means(np.array(right)).mean()), abs=1e-3)
    full = records.group_means(records.full_prediction == labels)
    assert found.full_accuracy == pytest.approx(float(full.mean()))
    assert (
        calibrate(replace(records, labels=None), CalibrationArguments(epsilon=0.3, delta=0.5)).calibration.accuracy
        is None
    )
