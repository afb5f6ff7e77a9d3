"""Classifiers, measured."""

import json

import numpy as np
import pytest

from optimum_dynexec import DynExecModelForSequenceClassification, EarlyExitConfig
from optimum_dynexec.benchmark import BenchmarkArguments, run_benchmark
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import read_samples
from optimum_dynexec.utils.intervals import paired_loss_interval, proportion_interval, within_limit


@pytest.fixture(scope="module")
def truth(classifier_run):
    """
    `truth(batch_size)`: labels, what the model says, what it says with the options of the run, and after which layer.
    The tiny tokenizer pads on the left, so that it depends on what shares a batch.
    """
    directory = classifier_run.models["f32"]
    samples = read_samples([classifier_run.data[0]])
    inputs, _ = load_inputs(directory, "text-classification")
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")

    def of(size):
        batches = [
            inputs(samples.select(range(start, min(start + size, len(samples)))), 128)
            for start in range(0, len(samples), size)
        ]
        plain = np.concatenate([model(**batch).logits.argmax(-1) for batch in batches])
        left = [model(**batch, early_exit=EarlyExitConfig(threshold=0.8)) for batch in batches]
        dynamic = np.concatenate([output.logits.argmax(-1) for output in left])
        layers = np.concatenate([output.exit_layer for output in left])
        return samples.label_ids(model.config.label2id), plain, dynamic, layers

    return of


def test_figures_are_what_the_model_does(classifier_run, truth):
    for workload, size in zip(classifier_run.results["workloads"], (4, 1), strict=True):
        assert (workload["name"], workload["items"]) == (f"batch size {size}", -(-10 // size))
        labels, plain, dynamic, layers = truth(size)
        off, on, first = workload["systems"]
        assert [off["system"], on["system"], first["system"]] == ["f32/off", "f32/on", "f32/first"]
        assert off["accuracy"] == pytest.approx((plain == labels).mean())
        assert on["accuracy"] == pytest.approx((dynamic == labels).mean())
        assert on["agreement"] == pytest.approx((dynamic == plain).mean())
        assert on["loss"] == pytest.approx((plain == labels).mean() - (dynamic == labels).mean())
        lost, gained = ((plain == labels) & (dynamic != labels)).sum(), ((plain != labels) & (dynamic == labels)).sum()
        assert on["loss_interval"] == pytest.approx(paired_loss_interval(lost, gained, 10))
        assert on["accuracy_interval"] == pytest.approx(proportion_interval((dynamic == labels).sum(), 10))
        assert on["agreement_interval"] == pytest.approx(proportion_interval((dynamic == plain).sum(), 10))
        assert on["samples"] == on["loss_samples"] == 10
        # Ten samples show nothing of a limit near the loss; that of the baseline is 0 by its nature.
        assert within_limit(on["loss_interval"], on["loss"]) is None
        assert (off["loss"], off["loss_samples"]) == (0, 0)
        assert len({*layers}) > 1, "samples leave in different places"
        assert on["histogram"] == {str(layer): int((layers == layer).sum()) for layer in range(4)}
        assert on["mean_exit_layer"] == pytest.approx(layers.mean())
        assert off["histogram"] is None
        # A threshold of 0 after layer 0 has all leave there, with a part of the arithmetic.
        assert first["histogram"] == {"0": 10, "1": 0, "2": 0, "3": 0}
        assert 0 < first["flops_share"] < on["flops_share"] <= 1.5
        assert off["latency_p99_ms"] >= off["latency_ms"] > 0


def test_speed_is_that_of_the_medians(classifier_run):
    """From the records alone: samples over the sum of each batch's median."""
    lines = classifier_run.output.with_name("results.json.records.jsonl").read_text().splitlines()
    seconds: dict[str, list[float]] = {}
    for record in map(json.loads, lines):
        if record["system"] == "f32/on" and record["item"].startswith("4/"):
            seconds.setdefault(record["item"], []).append(record["seconds"])
    assert {len(values) for values in seconds.values()} == {3}
    expected = 10 / sum(float(np.median(values)) for values in seconds.values())
    row = classifier_run.results["workloads"][0]["systems"][1]
    assert row["speed"] == pytest.approx(expected)
    assert row["speedup"] == row["speed"] / classifier_run.results["workloads"][0]["systems"][0]["speed"]


def test_without_labels_agreement_counts(tiny_encoder, classifier_data, tmp_path):
    texts = [json.loads(line)["text"] for line in classifier_data.read_text().splitlines()]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    arguments = BenchmarkArguments(
        precision="exact", repeats=1, batch_sizes=(8, 16, 32), dynamic={"threshold": 0.0}, progress=False
    )
    results = run_benchmark({"f32": tiny_encoder("bert")}, [tmp_path / "texts.txt"], arguments)
    off, on = results["workloads"][0]["systems"]
    assert off["accuracy"] is None
    assert on["loss"] == pytest.approx(1 - on["agreement"])
    # There is no batch of 32 of 10 texts.
    assert [workload["name"] for workload in results["workloads"]] == ["batch size 8", "batch size 10"]
    assert "differ from the baseline" in results["texts"]["loss"]


def test_needs_a_calibration_or_options(tiny_encoder, classifier_data):
    arguments = BenchmarkArguments(repeats=1, batch_sizes=(8,), progress=False)
    with pytest.raises(ValueError, match="is not calibrated"):
        run_benchmark({"f32": tiny_encoder("bert")}, [classifier_data], arguments)
