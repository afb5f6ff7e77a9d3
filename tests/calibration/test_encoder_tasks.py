"""Calibration for tasks that give several answers a sample, which then leaves with all of them; and for sounds."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from optimum_dynexec import (
    DynExecConfig,
    DynExecModelForAudioClassification,
    DynExecModelForQuestionAnswering,
    DynExecModelForTokenClassification,
    EarlyExitConfig,
)
from optimum_dynexec.calibration import (
    CalibrationArguments,
    EncoderRecordingArguments,
    ExitRecords,
    calibrate_encoder,
    record_encoder,
)
from optimum_dynexec.calibration.policy import run_policy
from optimum_dynexec.calibration.risks import RISKS
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import Columns, read_samples
from optimum_dynexec.directory.errors import CalibrationError
from optimum_dynexec.early_exit.criteria import criterion_class
from optimum_dynexec.training import EncoderTrainingArguments, train_encoder_heads
from tests.calibration.synthetic import synthetic_records
from tests.tiny_encoders import SAMPLES
from tests.tiny_models import TEXT


COUNT = 24
EXACT = EncoderRecordingArguments(precision="exact")
PAIRS = EncoderRecordingArguments(columns=Columns(text="text", text_pair="pair"), precision="exact")
TASKS = {
    "token-classification": ("bert", DynExecModelForTokenClassification, EXACT),
    "question-answering": ("bert", DynExecModelForQuestionAnswering, PAIRS),
    "audio-classification": ("wav2vec2", DynExecModelForAudioClassification, EXACT),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files of texts and of sounds. Texts of equal length: the tiny tokenizer pads before them, which changes them."""
    directory = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(5)
    words = sorted({word for line in TEXT for word in line.split()})
    rows = [{name: " ".join(generator.choice(words, 4)) for name in ("text", "pair")} for _ in range(COUNT)]
    (directory / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sounds = generator.normal(size=(COUNT, SAMPLES)).astype(np.float32)
    np.savez(directory / "sounds.npz", audio=sounds, labels=[f"class_{label}" for label in np.arange(COUNT) % 3])
    return directory


def file_of(task: str, data) -> str:
    return str(data / ("sounds.npz" if task.startswith("audio") else "texts.jsonl"))


@pytest.fixture(scope="module", params=TASKS)
def recorded(request, tiny_encoder, data):
    task = request.param
    family, _, arguments = TASKS[task]
    directory = tiny_encoder(family, task)
    return task, directory, record_encoder(directory, [file_of(task, data)], arguments, progress=False)


@pytest.mark.parametrize("criterion", ["max_prob", "patience"])
def test_the_policy_is_what_the_engine_does(recorded, data, criterion):
    """At thresholds at which some leave at each exit, as many as calibration thinks, and where it thinks so."""
    task, directory, found = recorded
    records = found.records
    assert records.num_groups == COUNT
    assert records.together == (task != "audio-classification")
    kind = criterion_class(criterion).load(None)
    scores = records.scores(kind)
    threshold = 1.0 if criterion == "patience" else float(np.quantile(scores, 0.6))
    outcome = run_policy(
        records, kind, np.full((1, len(records.layers)), threshold), RISKS["disagreement"](records.predictions, None)
    )
    model = TASKS[task][1].from_pretrained(directory, precision="exact")
    inputs, _ = load_inputs(directory, task)
    samples = read_samples([file_of(task, data)], TASKS[task][2].columns)
    output = model(**inputs(samples, 128), early_exit=EarlyExitConfig(criterion, threshold=threshold))
    layers = [*records.layers, records.num_layers - 1]
    shares = [(np.asarray(output.exit_layer) == layer).mean() for layer in layers]
    np.testing.assert_allclose(outcome.shares[0], shares, atol=1e-9)
    assert sum(share > 0 for share in shares) > 1
    assert outcome.mean_layers[0] == pytest.approx(np.asarray(output.exit_layer).mean() + 1)
    if task == "token-classification":
        # The risk is the mean over texts of the share of their tokens that come out otherwise.
        feed = inputs(samples, 128)
        mask = feed["attention_mask"].astype(bool)
        differs = np.asarray(output.logits).argmax(-1) != np.asarray(model(**feed, early_exit=None).logits).argmax(-1)
        assert outcome.losses[0].mean() == pytest.approx(((differs & mask).sum(1) / mask.sum(1)).mean())


def test_calibrated(recorded, data, tmp_path):
    task, directory, _ = recorded
    shutil.copytree(directory, tmp_path / "model")
    kind, arguments = TASKS[task][1:]
    found = calibrate_encoder(
        tmp_path / "model",
        data=[file_of(task, data)],
        recording=arguments,
        progress=False,
        args=CalibrationArguments(epsilon=0.9, delta=0.3),
    )
    assert found.num_texts == COUNT
    assert 0 < found.mean_flops < 1.3
    model = kind.from_pretrained(tmp_path / "model", precision="exact")
    inputs, _ = load_inputs(directory, task)
    samples = read_samples([file_of(task, data)], arguments.columns)
    output = model(**inputs(samples, 128), early_exit="calibrated")
    for layer, share in found.exit_shares.items():
        assert (np.asarray(output.exit_layer) == layer).mean() == pytest.approx(share)


def test_what_has_no_labels_and_no_budget(recorded, data, monkeypatch):
    task, directory, _ = recorded
    options = {"data": [file_of(task, data)], "recording": TASKS[task][2], "progress": False}
    if task == "audio-classification":
        pytest.skip("it has both")
    with pytest.raises(CalibrationError, match="needs labels"):
        calibrate_encoder(directory, **options, args=CalibrationArguments(risk="accuracy"))
    # Known without asking the model anything.
    monkeypatch.setattr("optimum_dynexec.calibration.encoder.record_encoder", None)
    with pytest.raises(CalibrationError, match="one label"):
        calibrate_encoder(directory, budget_flops=0.5, **options)


def test_mutant_that_lets_tokens_leave_alone_is_seen():
    """Leaving together is not what leaving one by one would be: fewer leave."""
    records = synthetic_records(200, seed=0)
    kind = criterion_class("max_prob").load(None)
    losses = RISKS["disagreement"](records.predictions, None)
    thresholds = np.full((1, 2), 0.6)
    alone = run_policy(records, kind, thresholds, losses)
    together = run_policy(replace(records, together=True), kind, thresholds, losses)
    assert together.shares[0, -1] > alone.shares[0, -1] + 0.1


def test_together_by_hand(tmp_path):
    records = synthetic_records(3, seed=0, tokens=(2, 2))
    records = replace(records, together=True)
    score = records.statistics.max_prob
    expected = score.reshape(3, 2, 2).min(axis=1).repeat(2, axis=0)
    np.testing.assert_array_equal(records.scores(criterion_class("max_prob").load(None)), expected)
    least_sure = records.statistics.entropy.reshape(3, 2, 2).max(axis=1).repeat(2, axis=0)
    np.testing.assert_array_equal(records.scores(criterion_class("entropy").load(None)), least_sure)
    score[0, 0] = np.nan
    assert (
        np.isnan(records.scores(criterion_class("max_prob").load(None))[:, 0]).tolist() == [True, True] + [False] * 4
    )
    records.save(tmp_path / "records.safetensors")
    assert ExitRecords.load(tmp_path / "records.safetensors").together


def test_heads_for_sounds_can_be_trained(tiny_encoder, data, tmp_path):
    directory = tiny_encoder("wav2vec2", "audio-classification")
    trained = train_encoder_heads(
        directory,
        tmp_path,
        task="audio-classification",
        data=[file_of("audio-classification", data)],
        training_arguments=EncoderTrainingArguments(epochs=2),
        progress=False,
    )
    assert [head.layer for head in trained.exits] == [0, 1, 2]
    model = DynExecModelForAudioClassification.from_pretrained(directory, heads=tmp_path, precision="exact")
    sounds = torch.randn(2, SAMPLES)
    assert model(sounds, early_exit=EarlyExitConfig(threshold=0.0)).exit_layer.tolist() == [0, 0]
    assert DynExecConfig.from_pretrained(directory).task == "audio-classification"
