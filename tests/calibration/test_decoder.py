"""Exit records of a tiny decoder, against transformers and the numpy heads; what calibration does to a directory."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM
from optimum_dynexec.calibration import (
    CalibrationArguments,
    NoThresholdError,
    RecordingArguments,
    calibrate_decoder,
    record_decoder,
)
from optimum_dynexec.calibration.decoder_runner import DecoderRunner
from optimum_dynexec.calibration.recording import ExitLogits, RecordedText, record_texts
from optimum_dynexec.calibration.risks import token_disagreement
from optimum_dynexec.data.overlap import content_hash, sketch
from optimum_dynexec.directory.attached_heads import attach_heads
from optimum_dynexec.directory.errors import CalibrationError, StaleCalibrationError
from optimum_dynexec.directory.freshness import check_fresh, load_calibration, save_calibration
from optimum_dynexec.early_exit.statistics import reference_statistics
from optimum_dynexec.heads.storage import save_head
from optimum_dynexec.precision import FLOAT32_OV_CONFIG
from tests.calibration.conftest import BACKBONE
from tests.heads.reference import head as numpy_head
from tests.heads.reference import random_head


RECORDING = RecordingArguments(max_new_tokens=12, precision="exact")


# ---- the runner -----------------------------------------------------------------------------------------------------


def test_runner_equals_transformers_and_the_numpy_heads(exported, heads_of_tiny_llama, tiny_hf):
    runner = DecoderRunner(exported, ov_config=FLOAT32_OV_CONFIG, head_ov_config=FLOAT32_OV_CONFIG)
    assert runner.layers == (0, 1)
    assert runner.num_layers == 3
    model = AutoModelForCausalLM.from_pretrained(tiny_hf("llama"))
    rng = np.random.default_rng(0)
    # Two texts, so that what the first leaves behind would show.
    for length in (20, 13):
        tokens = rng.integers(3, model.config.vocab_size, length).tolist()
        rows = np.arange(4, length - 1)
        logits = runner(tokens, rows)
        with torch.no_grad():
            expected = model(torch.tensor([tokens]), output_hidden_states=True)
        assert logits.full.tolist() == expected.logits[0, 4:-1].argmax(-1).tolist()
        unembedding = model.lm_head.weight.detach().numpy()
        for index, (layer, (config, tensors)) in enumerate(heads_of_tiny_llama[0].items()):
            hidden_states = expected.hidden_states[layer + 1][0].numpy().astype(np.float64)
            reference, _ = numpy_head(config, tensors, unembedding, hidden_states)
            np.testing.assert_allclose(logits.exits[index], reference[rows], atol=1e-3)
            assert runner.token_ids[index].tolist() == tensors["token_ids"].tolist()


def test_runner_needs_exit_heads(tiny_export):
    with pytest.raises(CalibrationError, match="no exit heads to calibrate.*train-heads"):
        DecoderRunner(tiny_export("llama"))


# ---- recording ------------------------------------------------------------------------------------------------------


class FakeRunner:
    """Logits by a formula; 2 exits with 5 words each that are the tokens 10 to 14, and 4 to 0."""

    layers = (1, 4)
    num_layers = 8
    token_ids = (np.arange(10, 15), np.arange(4, -1, -1))

    def __call__(self, tokens, rows):
        exits = [np.random.default_rng([*tokens, i]).normal(size=(len(rows), 5)).astype(np.float32) for i in (0, 1)]
        return ExitLogits(exits, rows + 100)


def test_what_is_recorded():
    texts = [RecordedText([5, 6, 7, 8, 9], 1, labeled=True), RecordedText([4, 4, 4], 0, labeled=True)]
    texts.insert(1, RecordedText([1, 2], 1, labeled=True))
    records = record_texts(FakeRunner(), texts, progress=False, model_hash="m", head_hashes={1: "a"}, source={"x": 1})
    assert records.group_sizes.tolist() == [3, 2]
    assert records.statistics.position.tolist() == [1, 2, 3, 0, 1]
    assert records.labels.tolist() == [7, 8, 9, 4, 4]
    assert records.full_prediction.tolist() == [101, 102, 103, 100, 101]
    assert (records.layers, records.num_layers, records.model_hash) == ((1, 4), 8, "m")
    logits = [
        np.concatenate(parts)
        for parts in zip(*(FakeRunner()(text.tokens, text.rows).exits for text in (texts[0], texts[2])), strict=True)
    ]
    reference = reference_statistics(logits, FakeRunner.token_ids)
    np.testing.assert_array_equal(records.statistics.prediction, reference.prediction)
    for name in ("max_prob", "margin", "entropy"):
        np.testing.assert_allclose(getattr(records.statistics, name), getattr(reference, name), rtol=1e-5, atol=1e-6)


def test_broken_logits_are_recorded_as_such():
    class Broken(FakeRunner):
        def __call__(self, tokens, rows):
            logits = super().__call__(tokens, rows)
            logits.exits[1][0] = np.nan
            return logits

    records = record_texts(Broken(), [RecordedText([1, 2, 3], 0)], progress=False)
    assert records.statistics.prediction[0, 1] == -1
    assert np.isnan(records.statistics.max_prob[0, 1])
    assert records.labels is None


def test_texts_too_short():
    with pytest.raises(ValueError, match="no text is long enough"):
        record_texts(FakeRunner(), [RecordedText([1], 0)], progress=False)


def test_records_of_own_answers(exported, prompts, tiny_model):
    """The full model's predictions are the tokens it generates, but for the first, which the prompt's pass gives."""
    records = record_decoder(exported, [str(prompts)], RECORDING, progress=False)
    assert records.layers == (0, 1)
    assert records.labels is None
    assert records.num_groups == 30
    assert records.group_sizes.max() == 11
    assert records.model_hash == DynExecConfig.from_pretrained(exported).model_hash
    assert list(records.head_hashes) == [0, 1]
    assert records.source["data"] == [str(prompts)]
    from tests.tiny_models import build_tokenizer

    model, generated = tiny_model("llama"), set()
    for text in prompts.read_text().splitlines():
        inputs = build_tokenizer()(text, return_tensors="pt", return_token_type_ids=False)
        output = model.generate(**inputs, max_new_tokens=12, do_sample=False, speculation="off")
        generated.add(tuple(output[0, inputs["input_ids"].shape[1] + 1 :].tolist()))
    ends = np.cumsum(records.group_sizes)
    recorded = {
        tuple(records.full_prediction[end - size : end].tolist())
        for end, size in zip(ends, records.group_sizes, strict=True)
    }
    assert recorded == generated


def test_records_of_texts_as_they_stand(exported, prompts):
    args = RecordingArguments(continuations="text", max_samples=7, precision="exact")
    records = record_decoder(exported, [str(prompts)], args, progress=False)
    assert records.num_groups == 7
    assert records.statistics.position.min() == 0
    assert records.labels is not None


def test_cache(exported, prompts, tmp_path, monkeypatch):
    first = record_decoder(exported, [str(prompts)], RECORDING, cache_dir=tmp_path / "cache", progress=False)
    assert len(list((tmp_path / "cache").glob("records-*.safetensors"))) == 1
    monkeypatch.setattr(DecoderRunner, "__call__", None)
    again = record_decoder(exported, [str(prompts)], RECORDING, cache_dir=tmp_path / "cache", progress=False)
    assert again.data_hash == first.data_hash


def test_answers_at_another_precision_are_not_taken_from_the_cache(exported, prompts, tmp_path):
    for precision in ("exact", "fast", "exact"):
        args = replace(RECORDING, precision=precision, max_samples=2)
        record_decoder(exported, [str(prompts)], args, cache_dir=tmp_path, progress=False)
    assert len(list(tmp_path.glob("continuations-*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"continuations": "none"}, "`continuations` must be one of"),
        ({"precision": "best"}, "`precision` must be one of"),
        ({"max_samples": 0}, "`max_samples` must be at least 1"),
        ({"max_new_tokens": 1}, "`max_new_tokens` must be at least 2"),
    ],
)
def test_recording_arguments_are_checked(options, message):
    with pytest.raises(CalibrationError, match=message):
        RecordingArguments(**options)


# ---- a directory ----------------------------------------------------------------------------------------------------


def half_wrong(predictions, labels):
    """Random heads are nearly always wrong, which is not to be an obstacle here."""
    return 0.5 * token_disagreement(predictions, labels)


RISK = {"criterion": "classifier", "risk": half_wrong, "epsilon": 0.8, "delta": 0.2}


@pytest.fixture(scope="module")
def calibrated_once(tiny_export, heads_of_tiny_llama, prompts, tmp_path_factory):
    directory = shutil.copytree(tiny_export("llama"), tmp_path_factory.mktemp("calibrated") / "model")
    attach_heads(directory, heads_of_tiny_llama[1], weight_format="fp32")
    calibrate_decoder(
        directory, data=[str(prompts)], recording=RECORDING, progress=False, args=CalibrationArguments(**RISK)
    )
    return directory


@pytest.fixture
def calibrated(calibrated_once, tmp_path):
    return shutil.copytree(calibrated_once, tmp_path / "calibrated")


def test_calibration_is_written_and_read(calibrated):
    found = load_calibration(calibrated)
    assert found.criterion == "classifier"
    assert found.num_texts + found.num_tuning_texts == 30
    assert set(found.thresholds) <= {0, 1}
    assert found.measured_risk <= 0.5
    assert found.source["max_new_tokens"] == 12
    # In plain JSON, beside what was there.
    values = json.loads((calibrated / "dynexec_config.json").read_text())
    assert values["calibration"]["epsilon"] == 0.8
    assert values["exit_layers"] == [0, 1]


def test_another_precision_is_said(calibrated, caplog):
    for precision, said in ((RECORDING.precision, False), ("fast", True)):
        model = DynExecModelForCausalLM.from_pretrained(calibrated, precision=precision)
        model.generate(torch.tensor([[5, 6]]), early_exit="calibrated", max_new_tokens=2)
        assert ("found with the precision 'exact', but the model was loaded with 'fast'" in caplog.text) == said


def test_bad_arguments_fail_before_the_work(exported, prompts, monkeypatch):
    monkeypatch.setattr("optimum_dynexec.calibration.decoder.record_decoder", None)
    with pytest.raises(ValueError, match="`epsilon`"):
        calibrate_decoder(exported, data=[str(prompts)], args=CalibrationArguments(epsilon=5))


def test_a_failed_calibration_changes_nothing(calibrated, prompts, monkeypatch):
    before = {path.name: path.read_bytes() for path in calibrated.iterdir()}

    def fails(epsilon, error, message, recording=RECORDING):
        args = CalibrationArguments(epsilon=epsilon)
        with pytest.raises(error, match=message):
            calibrate_decoder(calibrated, data=[str(prompts)], recording=recording, progress=False, args=args)
        assert {path.name: path.read_bytes() for path in calibrated.iterdir()} == before

    fails(0.1, NoThresholdError, "no threshold .* with 30 texts: even")
    # Before the model runs.
    monkeypatch.setattr("optimum_dynexec.data.continuations.own_continuations", None)
    fails(0.01, NoThresholdError, "With 30 texts, epsilon 0.01 cannot be shown even without an error: that needs 299")
    fails(0.1, NoThresholdError, "With 9 texts, .* needs 29. .* leaves out 21 more", replace(RECORDING, max_samples=9))
    config = DynExecConfig.from_pretrained(calibrated)
    seen = sketch(content_hash(line.encode()) for line in prompts.read_text().splitlines()[:10])
    heads = {name: replace(head, training_texts=seen) for name, head in config.heads.items()}
    replace(config, heads=heads).save_pretrained(calibrated)
    before = {path.name: path.read_bytes() for path in calibrated.iterdir()}
    fails(0.1, CalibrationError, "prompts.txt: exit_head_0 was trained on about 33% of these texts")


KILLED = """
import os, signal, sys
from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM
from optimum_dynexec.calibration import CalibrationArguments, RecordingArguments, calibrate_decoder
from optimum_dynexec.calibration.risks import token_disagreement
from tests.calibration.test_decoder import RISK

def lightly_wrong(predictions, labels):  # so that the classifier becomes another
    return 0.3 * token_disagreement(predictions, labels)

DynExecConfig.save_pretrained = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
recording = RecordingArguments(max_new_tokens=9, precision="exact")
RISK["risk"] = lightly_wrong
args = CalibrationArguments(**RISK)
calibrate_decoder(sys.argv[1], data=[sys.argv[2]], args=args, recording=recording, progress=False)
"""


def test_a_killed_calibration_is_never_used(calibrated, prompts):
    """It is killed before the configuration is written. The directory then holds what it held before."""
    before = load_calibration(calibrated)
    arguments = [sys.executable, "-c", KILLED, str(calibrated), str(prompts)]
    result = subprocess.run(arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert load_calibration(calibrated) == before
    calibrate_decoder(
        calibrated, data=[str(prompts)], recording=RECORDING, progress=False, args=CalibrationArguments(**RISK)
    )
    assert load_calibration(calibrated).thresholds == before.thresholds


def test_not_calibrated(exported):
    with pytest.raises(CalibrationError, match="is not calibrated: run `optimum-cli dynexec calibrate"):
        load_calibration(exported)


def test_no_heads(tiny_export, prompts):
    with pytest.raises(CalibrationError, match="no exit heads to calibrate"):
        calibrate_decoder(tiny_export("llama"), data=[str(prompts)])


def change_model(directory, tiny_export):
    """The same model, quantized."""
    for suffix in ("xml", "bin"):
        shutil.copy(tiny_export("llama", "int8") / f"openvino_model.{suffix}", directory)


def change_head(directory, _):
    config, tensors, _ = random_head("norm", words=60, seed=9, **BACKBONE, layer=1)
    file = directory / "new.safetensors"
    save_head(config, tensors, file)
    attach_heads(directory, file, weight_format="fp32")


def change_classifier(directory, _):
    (directory / "exit_classifier.safetensors").unlink()


def remove_head(directory, _):
    config = DynExecConfig.from_pretrained(directory)
    del config.heads["exit_head_0"]
    config.save_pretrained(directory)


def lose_head(directory, _):
    (directory / "openvino_exit_head_1.bin").unlink()


def forget_model(directory, _):
    config = DynExecConfig.from_pretrained(directory)
    config.calibration["model_hash"] = None
    config.save_pretrained(directory)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (change_model, StaleCalibrationError, "is not the one that was calibrated .quantized or exported again"),
        (change_head, StaleCalibrationError, r"exit heads in .* after layers \[1\] have changed"),
        (change_classifier, StaleCalibrationError, "exit_classifier.safetensors is not the one of the calibration"),
        (remove_head, StaleCalibrationError, r"after layers \[1\], but the calibration was made with .* \[0, 1\]"),
        (lose_head, CalibrationError, "openvino_exit_head_1.bin is missing"),
        (forget_model, StaleCalibrationError, "does not say which model"),
    ],
)
def test_stale(calibrated, tiny_export, change, error, message):
    check_fresh(load_calibration(calibrated), calibrated)
    change(calibrated, tiny_export)
    with pytest.raises(error, match=message) as raised:
        load_calibration(calibrated)
    assert change is lose_head or "`optimum-cli dynexec calibrate`" in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"), [("criterion", "mood"), ("thresholds", {"0": 7}), ("thresholds", {"x": 0.5}), ("spare", 1)]
)
def test_damaged_calibration(calibrated, field, value):
    config = DynExecConfig.from_pretrained(calibrated)
    config.calibration[field] = value
    config.save_pretrained(calibrated)
    with pytest.raises(CalibrationError, match=f"the calibration in {calibrated} cannot be used"):
        load_calibration(calibrated)


def test_a_crash_between_the_files_changes_nothing(calibrated, monkeypatch):
    found = load_calibration(calibrated)
    monkeypatch.setattr(DynExecConfig, "save_pretrained", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_calibration(found, b"other weights", calibrated)
    monkeypatch.undo()
    assert load_calibration(calibrated) == found
