"""`optimum-cli dynexec`: what it takes, prints and ends with. What it calls is tested where that is."""

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from optimum_dynexec import DynExecConfig
from optimum_dynexec.commands import (
    calibrate,
    draft_corpus,
    head_formats,
    optimize,
    train_heads_arguments,
    train_steps,
    tune,
)
from optimum_dynexec.data.continuations import ContinuationArguments
from optimum_dynexec.modeling.draft_corpus import MAX_TOKENS, DraftCorpus
from optimum_dynexec.training.decoder import train
from optimum_dynexec.training.decoder.trainer import TrainingArguments
from tests.tiny_models import TEXT


TEXT_TASK = "text-classification"
TRAIN_HEADS = inspect.signature(train.train_heads)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    words = " ".join(TEXT).split()
    path.write_text("\n".join(" ".join(words[i : i + 4]) for i in range(40)))
    return path


@pytest.fixture(scope="module")
def other_prompts(tmp_path_factory) -> Path:
    """Prompts that no head was trained on."""
    path = tmp_path_factory.mktemp("prompts") / "calibration.txt"
    words = " ".join(TEXT).split()
    path.write_text("\n".join(" ".join(words[i : i + 5]) for i in range(40)))
    return path


def test_help(run):
    status, output, _ = run()
    assert status == 0
    assert {"train-heads", "attach-heads", "calibrate", "train-steps"} <= set(output.replace(",", " ").split())
    options = {
        "train-heads": "--draft-head",
        "attach-heads": "HEADS",
        "calibrate": "--epsilon",
        "train-steps": "--tau",
        "draft-corpus": "--texts",
        "quantize": "--accuracy-control",
        "tune": "--time-limit",
        "optimize": "--recipe",
    }
    for command, option in options.items():
        status, output, _ = run(command, "--help")
        assert status == 0
        assert option in output
        assert "exit status:" in output


def test_a_draft_corpus_is_made_and_loaded(run, tiny_export, tmp_path):
    (tmp_path / "text.md").write_text(TEXT[0])
    directory, output = tiny_export("llama"), tmp_path / "corpus.safetensors"
    status, said, _ = run("draft-corpus", directory, output, "--texts", tmp_path / "text.md", "--json")
    values = json.loads(said)
    assert (status, values["texts"], values["texts_left_out"]) == (0, 1, 0)
    corpus = DraftCorpus.load(output)
    assert len(corpus.tokens) == values["tokens"] > 4
    status, said, _ = run("draft-corpus", directory, output, "--texts", tmp_path / "text.md", "--max-tokens", 4)
    assert status == 0
    assert "1 texts were left out, in whole or in part: --max-tokens is 4" in said
    status, _, errors = run("draft-corpus", directory, output, "--texts", tmp_path / "none.md")
    assert status == 1
    assert "none.md" in errors
    assert np.array_equal(DraftCorpus.load(output).tokens, corpus.tokens[:4])
    # The command must not import what has the limit.
    assert draft_corpus.MAX_TOKENS == MAX_TOKENS


@pytest.mark.parametrize(
    "arguments",
    [
        ["train-heads", "model"],
        ["train-heads", "model", "--data", "x", "--layers", "a"],
        ["train-heads", "model", "--data", "x", "--kind", "draft"],
        ["attach-heads", "model"],
        ["calibrate", "--data", "x"],
        ["calibrate", "model"],
        ["calibrate", "model", "--data", "x", "--criterion", "mood"],
        ["calibrate", "model", "--data", "x", "--epsilon", "little"],
        ["train-steps", "model"],
        ["train-steps", "model", "--prompts", "x", "--steps", "ten"],
        ["train-steps", "model", "--prompts", "x", "--rule", "taste"],
        ["quantize", "model"],
        ["quantize", "model", "out", "--weight-format", "int3"],
        ["quantize", "model", "out", "--head-weight-format", "fp16"],
        ["tune", "model"],
        ["tune", "model", "--data", "x", "--threads", "1,many"],
        ["tune", "model", "--data", "x", "--objective", "beauty"],
        ["optimize", "model"],
        ["optimize", "model", "out"],
        ["optimize", "model", "out", "--data", "x", "--recipe", "speed"],
        ["nothing"],
    ],
)
def test_usage_errors(run, arguments):
    status, output, error = run(*arguments)
    assert status == 2
    assert output == ""
    assert "error: " in error


def test_choices_are_those_there_are():
    """The command line lists them by itself, so that it loads at once."""
    from optimum_dynexec.calibration.candidates import CANDIDATES
    from optimum_dynexec.calibration.methods import METHODS
    from optimum_dynexec.training.encoder.arguments import RECIPES

    assert train_heads_arguments.RECIPES == RECIPES
    assert set(calibrate.METHODS) == set(METHODS)
    assert set(calibrate.CANDIDATES) == set(CANDIDATES)
    assert train_heads_arguments.KINDS == train.EXIT_KINDS

    from optimum_dynexec.heads.weight_formats import WEIGHT_FORMATS
    from optimum_dynexec.optimize.recipes import RECIPES as OPTIMIZE_RECIPES
    from optimum_dynexec.tuning.arguments import OBJECTIVES, TuningArguments

    assert set(head_formats.HEAD_FORMATS) == set(WEIGHT_FORMATS)
    assert set(optimize.RECIPES) == set(OPTIMIZE_RECIPES)
    assert tune.OBJECTIVES == OBJECTIVES
    assert TuningArguments().precisions == tune.TRIED_PRECISIONS

    pytest.importorskip("diffusers")
    from optimum_dynexec.diffusion.step_saver import LABEL_RULES

    assert set(train_steps.RULES) == set(LABEL_RULES)


def test_import_loads_nothing_heavy():
    program = (
        "import sys; import optimum_dynexec.commands.dynexec;"
        "print([m for m in ('torch', 'transformers', 'openvino', 'nncf', 'numpy', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---- from training to thresholds ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny_export, prompts, tmp_path_factory):
    """An export with a trained exit head, and what the training printed; by the command line alone."""
    directory = shutil.copytree(tiny_export("llama"), tmp_path_factory.mktemp("trained") / "model")
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "dynexec", "train-heads", directory, "--json"]
    command += ["--data", prompts, "--layers", "1", "--no-draft-head", "--vocab-size", "120"]
    command += ["--max-new-tokens", "24", "--epochs", "12"]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return directory, result.stdout


def test_trains_and_attaches(trained):
    directory, output = trained
    printed = json.loads(output)
    assert printed["attached"] is True
    (head,) = printed["heads"]
    assert head["name"] == "exit_head_1"
    assert 0 < head["agreement"]["first"] <= 1
    assert Path(head["path"]) == directory / "heads" / "exit_head_1.safetensors"
    config = DynExecConfig.from_pretrained(directory)
    assert list(config.heads) == ["exit_head_1"]
    assert config.exit_layers == [1]


def test_calibrates(trained, prompts, other_prompts, run, tmp_path):
    directory = shutil.copytree(trained[0], tmp_path / "model")
    arguments = ["calibrate", directory, "--epsilon", 0.95, "--delta", 0.2, "--max-new-tokens", 12]
    status, _, error = run(*arguments, "--data", prompts)
    assert status == 1
    assert f"{prompts}: exit_head_1 was trained on about 100% of these texts" in error
    arguments += ["--data", other_prompts]
    status, output, _ = run(*arguments, "--cache-dir", tmp_path / "cache", "--json")
    assert status == 0
    printed = json.loads(output)
    assert printed["guarantee"].startswith("token disagreement at most 95% with confidence 80% (hoeffding")
    written = DynExecConfig.from_pretrained(directory).calibration
    assert printed == {**written, "guarantee": printed["guarantee"], "warnings": []}
    assert list(written["thresholds"]) == ["1"]

    status, output, _ = run(*arguments, "--cache-dir", tmp_path / "cache")
    assert status == 0
    assert output.splitlines()[0] == f"Guarantee: {printed['guarantee']}"
    assert re.fullmatch(
        r"Token disagreement: [\d.]+% \(95% interval [\d.]+% to [\d.]+%\) on \d+ tokens of 39 texts",
        output.splitlines()[1],
    )
    assert "After layer 1: " in output
    assert f"Replaces the calibration of {written['calibrated_on']} (epsilon 0.95, 39 texts)" in output
    written = DynExecConfig.from_pretrained(directory).calibration

    # The thresholds are those that `generate` leaves by.
    from optimum_dynexec import DynExecModelForCausalLM
    from optimum_dynexec.early_exit import EarlyExitConfig

    model = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
    ids = torch.tensor([[5, 6, 7]])
    length = {"min_new_tokens": 12, "max_new_tokens": 12, "do_sample": False}
    out = model.generate(ids, early_exit="calibrated", **length)
    histogram = model.last_stats.exit_histogram
    assert sum(histogram.values()) == 12
    assert histogram[1] > 0
    thresholds = {int(layer): value for layer, value in written["thresholds"].items()}
    config = EarlyExitConfig(criterion=written["criterion"], thresholds=thresholds)
    assert torch.equal(model.generate(ids, early_exit=config, **length), out)
    assert model.last_stats.exit_histogram == histogram

    # Too little risk for so few texts.
    arguments[arguments.index(0.95)] = 0.001
    status, output, error = run(*arguments, "--cache-dir", tmp_path / "cache")
    assert status == calibrate.NO_THRESHOLD == 3
    assert output == ""
    assert "error: With 40 texts, epsilon 0.001 cannot be shown even without an error" in error.splitlines()[-1]
    assert DynExecConfig.from_pretrained(directory).calibration == written


def test_stale_thresholds_are_refused(trained, other_prompts, run, tmp_path):
    from optimum_dynexec import DynExecModelForCausalLM
    from optimum_dynexec.directory.errors import CalibrationError, StaleCalibrationError

    directory = shutil.copytree(trained[0], tmp_path / "model")
    ids = torch.tensor([[5, 6, 7]])
    with pytest.raises(CalibrationError, match="is not calibrated"):
        DynExecModelForCausalLM.from_pretrained(directory).generate(ids, early_exit="calibrated", max_new_tokens=2)
    arguments = ["calibrate", directory, "--data", other_prompts, "--epsilon", 0.95, "--delta", 0.2]
    arguments += ["--max-new-tokens", 6]
    assert run(*arguments)[0] == 0
    # Other heads, given at load.
    model = DynExecModelForCausalLM.from_pretrained(directory, heads=directory / "heads")
    with pytest.raises(StaleCalibrationError, match="other heads"):
        model.generate(ids, early_exit="calibrated", max_new_tokens=2)
    # Other weights.
    weights = directory / "openvino_model.bin"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="is not the one that dynexec_config.json was written for"):
        DynExecModelForCausalLM.from_pretrained(directory)


def test_heads_in_a_directory_of_their_own(trained, tiny_export, run, tmp_path):
    exported = shutil.copytree(tiny_export("llama"), tmp_path / "model")
    status, output, _ = run("attach-heads", exported, trained[0] / "heads", "--json")
    assert status == 0
    assert json.loads(output) == {
        "model": str(exported),
        "exit_layers": [1],
        "heads": {"exit_head_1": {"kind": "block", "layer": 1, "file": "openvino_exit_head_1.xml"}},
    }
    status, output, _ = run("attach-heads", exported, trained[0] / "heads", "--weight-format", "fp32")
    assert (status, output) == (0, f"{exported} now has exit_head_1\n")


def test_trains_a_model_that_is_not_exported(tiny_hf, prompts, run, tmp_path):
    arguments = ["train-heads", tiny_hf("llama"), "--data", prompts, "--layers", "0", "--kind", "norm"]
    arguments += ["--no-draft-head", "--max-samples", "12", "--max-new-tokens", "8", "--epochs", "1"]
    status, output, error = run(*arguments)
    assert status == 1
    assert "is not exported yet: give a directory for the export with --output" in error
    status, output, error = run(*arguments, "--output", tmp_path / "made")
    assert status == 0, error
    assert output.splitlines()[0].startswith("exit_head_0: agrees with the model on ")
    assert list(DynExecConfig.from_pretrained(tmp_path / "made").heads) == ["exit_head_0"]


# ---- what is handed on ----------------------------------------------------------------------------------------------


@pytest.fixture
def handed_on(monkeypatch):
    """What `train_heads` was called with; it does nothing."""
    calls = []
    monkeypatch.setattr(
        "optimum_dynexec.training.decoder.train.train_heads", lambda *a, **o: calls.append((a, o)) or []
    )
    monkeypatch.setattr("optimum_dynexec.directory.attached_heads.attach_heads", lambda *a: calls.append(a))
    return calls


def test_training_options(run, handed_on, tiny_export, tmp_path):
    model = tiny_export("llama")
    options = "--layers 0,1 --kind adapter --rank 9 --no-draft-head --steps 3 --vocab-size 77 --weight-format int8"
    options += " --continuations text --max-samples 5 --max-new-tokens 11 --temperature 0.5 --epochs 2.5"
    options += " --learning-rate 1e-3 --device meta --seed 4 --draft-layers 0,1"
    places = ["--data", "a.csv:q", "--data", "b.txt", "--output", tmp_path / "out", "--cache-dir", tmp_path / "c"]
    assert run("train-heads", model, *places, *options.split())[0] == 0
    (((directory, output), given),) = handed_on
    assert (directory, output) == (model, tmp_path / "out")
    continuations, training = given.pop("continuation_arguments"), given.pop("training_arguments")
    assert (continuations.max_new_tokens, continuations.temperature, continuations.seed) == (11, 0.5, 4)
    assert (training.epochs, training.learning_rate, training.draft_steps) == (2.5, 1e-3, 3)
    assert (training.device, training.seed) == ("meta", 4)
    assert given == {
        "data": ["a.csv:q", "b.txt"],
        "layers": [0, 1],
        "kind": "adapter",
        "rank": 9,
        "start_from": None,
        "draft_head": False,
        "draft_layers": [0, 1],
        "vocab_size": 77,
        "weight_format": "int8",
        "continuations": "text",
        "max_samples": 5,
        "cache_dir": str(tmp_path / "c"),
    }


def test_defaults_are_those_of_the_function(run, tiny_export, handed_on):
    model = tiny_export("llama")
    assert run("train-heads", model, "--data", "x")[0] == 0
    (((directory, output), given), attached) = handed_on
    assert (directory, output) == (model, model / "heads")
    assert attached == (model, model / "heads")
    assert given.pop("continuation_arguments") == ContinuationArguments()
    assert given.pop("training_arguments") == TrainingArguments()
    assert (given.pop("data"), given.pop("layers")) == (["x"], [])
    assert given == {name: TRAIN_HEADS.parameters[name].default for name in given}


def test_a_draft_head_may_read_the_last_hidden_states_alone(run, handed_on, tiny_export):
    assert run("train-heads", tiny_export("llama"), "--data", "x", "--draft-layers", "none")[0] == 0
    assert handed_on[0][1]["draft_layers"] == []


def test_beginning_anew_leaves_no_cache(run, handed_on, tiny_export, tmp_path):
    arguments = ["train-heads", tiny_export("llama"), "--data", "x", "--output", tmp_path / "out", "--no-resume"]
    assert run(*arguments)[0] == 0
    ((_, given),) = handed_on
    assert Path(given["cache_dir"]).parent == tmp_path / "out"
    assert not Path(given["cache_dir"]).exists()


def test_calibration_options(run, monkeypatch, tiny_export):
    from optimum_dynexec.calibration import CalibrationArguments

    calls, model = [], str(tiny_export("llama"))

    def stop(directory, **options):
        calls.append((directory, options))
        raise ValueError("enough")

    monkeypatch.setattr("optimum_dynexec.calibration.decoder.calibrate_decoder", stop)
    monkeypatch.setattr("optimum_dynexec.calibration.calibrate_decoder", stop, raising=False)
    risk = "optimum_dynexec.calibration.risks:accuracy"
    options = f"--data a.txt --risk {risk} --epsilon 0.1 --delta 0.2 --criterion margin --method wsr"
    options += " --thresholds per_exit"
    options += " --continuations text --max-samples 9 --max-new-tokens 8 --seed 3 --precision exact --device GPU"
    status, _, error = run("calibrate", model, *options.split(), "--cache-dir", "c")
    assert (status, error) == (1, "optimum-cli dynexec calibrate: error: enough\n")
    ((directory, given),) = calls
    recording, guarantee = given.pop("recording"), given.pop("args")
    assert (directory, given) == (model, {"data": ["a.txt"], "cache_dir": "c"})
    assert guarantee == CalibrationArguments(risk, 0.1, 0.2, criterion="margin", method="wsr", candidates="per_exit")
    assert (recording.continuations, recording.max_samples, recording.max_new_tokens) == ("text", 9, 8)
    assert (recording.seed, recording.precision, recording.device) == (3, "exact", "GPU")
    run("calibrate", model, "--data", "a", "--risk", "accuracy")
    assert calls[1][1]["recording"].continuations == "text"
    run("calibrate", model, "--data", "a")
    assert calls[2][1]["recording"].continuations == "own"
    for risk in ("disagreement", "acuracy"):
        status, _, error = run("calibrate", model, "--data", "a", "--risk", risk)
        assert status == 1
        assert "--risk must be one of token_disagreement, accuracy for the task 'text-generation-with-past'" in error
    assert len(calls) == 3


# ---- errors and interrupts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train-heads", "/nowhere", "--data", "x"], "there is no directory /nowhere"),
        (["train-heads", "EMPTY", "--data", "x", "--output", "OUT"], "it holds no model"),
        (["calibrate", "EMPTY", "--data", "x"], "it holds no model"),
        (["tune", "HF", "--data", "x"], "it is not exported yet. Export it with"),
        # Before an export that takes minutes.
        (["train-heads", "HF", "--data", "/nowhere.txt", "--output", "OUT"], "/nowhere.txt does not exist"),
        (["train-heads", "HF", "--data", "DATA", "--output", "OUT", "--epochs", "0"], "`epochs` must be"),
        (["train-heads", "HF", "--data", "DATA", "--output", "OUT", "--start-from", "/no"], "no heads at /no"),
        (["train-heads", "BERT", "--data", "/nowhere.csv", "--output", "OUT"], "/nowhere.csv does not exist"),
        (
            ["train-heads", "BERT", "--data", "DATA", "--output", "OUT"],
            "the label 'mood', but the labels of the model",
        ),
        (["train-heads", "BERT", "--data", "DATA", "--output", "OUT", "--epochs", "0"], "`epochs` must be"),
        (
            ["train-heads", "BARE", "--data", "TEXTS", *["--task", "text-classification", "--output", "OUT"]],
            "not trained",
        ),
        (["train-heads", "MODEL", "--data", "/nowhere.txt"], "/nowhere.txt does not exist"),
        (["attach-heads", "/nowhere", "x"], "has no dynexec_config.json"),
        (["attach-heads", "MODEL", "/nowhere"], "/nowhere"),
        (["calibrate", "/nowhere", "--data", "x"], "has no dynexec_config.json"),
        (["calibrate", "MODEL", "--data", "x"], "no exit heads to calibrate"),
        (["calibrate", "MODEL", "--data", "x", "--epsilon", "2"], "`epsilon` must be between 0 and 1"),
    ],
)
def test_errors_are_one_line(run, tiny_hf, tiny_encoder_hf, tiny_export, tmp_path, monkeypatch, arguments, message):
    def too_late(*_, **__):
        raise AssertionError("exported before the arguments were checked")

    monkeypatch.setattr("optimum_dynexec.exporters.export_dynexec", too_late)
    places = {name: tmp_path / name for name in ("EMPTY", "OUT", "DATA", "TEXTS")}
    places["EMPTY"].mkdir()
    places["DATA"] = tmp_path / "data.csv"
    places["DATA"].write_text("text,label\none,mood\ntwo,mood\n")
    places["TEXTS"] = tmp_path / "texts.txt"
    places["TEXTS"].write_text("one\ntwo\n")
    models = {
        "MODEL": lambda: tiny_export("llama"),
        "HF": lambda: tiny_hf("llama"),
        "BERT": lambda: tiny_encoder_hf("bert"),
        "BARE": lambda: tiny_encoder_hf("bert", "feature-extraction"),
    }
    arguments = [models[word]() if word in models else places.get(word, word) for word in arguments]
    status, output, error = run(*arguments, "--json")
    assert status == 1
    assert output == ""
    assert error.splitlines()[-1].startswith(f"optimum-cli dynexec {arguments[0]}: error: ")
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not places["OUT"].exists()


def test_verbose_raises(run):
    with pytest.raises(FileNotFoundError, match="dynexec_config.json"):
        run("calibrate", "/nowhere", "--data", "x", "--verbose")


def test_what_libraries_print_is_not_among_the_outcome(run, monkeypatch, tiny_export):
    def chatty(*_, **__):
        print("a banner")
        return SimpleNamespace(exit_layers=[], heads={})

    monkeypatch.setattr("optimum_dynexec.directory.attached_heads.attach_heads", chatty)
    status, output, error = run("attach-heads", "model", "heads", "--json")
    assert status == 0
    assert json.loads(output)["heads"] == {}
    assert "a banner" in error


def test_interrupt(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("optimum_dynexec.directory.attached_heads.attach_heads", interrupted)
    status, output, error = run("attach-heads", "model", "heads")
    assert (status, output) == (130, "")
    assert error == "\noptimum-cli dynexec attach-heads: interrupted\n"


@pytest.mark.slow
def test_ctrl_c_during_training_then_again(tiny_export, prompts, tmp_path):
    """A real one; the same command then goes on and comes to its end."""
    directory = shutil.copytree(tiny_export("llama"), tmp_path / "model")
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "dynexec", "train-heads", directory]
    command += ["--data", prompts, "--layers", "1", "--no-draft-head", "--max-new-tokens", "24"]
    process = subprocess.Popen(
        [*map(str, command), "--epochs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whatever started the tests may have had it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 300
    while not list(directory.glob("heads/.cache/hidden-states-*/index.json")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert output.splitlines()[-1] == "optimum-cli dynexec train-heads: interrupted"
    assert "Traceback" not in output
    assert not DynExecConfig.from_pretrained(directory).heads

    result = subprocess.run([*map(str, command), "--epochs", "2"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert list(DynExecConfig.from_pretrained(directory).heads) == ["exit_head_1"]


def test_step_options(run, monkeypatch, tmp_path):
    """What `train_steps` is called with, and what is printed of its outcome."""
    pytest.importorskip("diffusers")
    from optimum_dynexec.diffusion.step_saver import StepSaverConfig

    calls = []

    def made(*arguments, **options):
        calls.append((arguments, options))
        metrics = {"mean_needed": 3.0, "mean_predicted": 3.5, "calibration_coverage": 0.95, "calibration_prompts": 20}
        return StepSaverConfig([2, 4], 0.1, 0.0, "similarity", 0.9, 16, metrics=metrics)

    monkeypatch.setattr("optimum_dynexec.diffusion.step_saver.main.train_steps", made)
    monkeypatch.setattr("optimum_dynexec.diffusion.step_saver.train_steps", made, raising=False)
    (tmp_path / "a.txt").write_text("one\ntwo\ntwo\n")
    (tmp_path / "b.jsonl").write_text('{"name": "three"}\n{"name": "four"}\n')
    sources = ["--prompts", tmp_path / "a.txt", "--prompts", f"{tmp_path / 'b.jsonl'}:name"]
    rest = "--steps 2,4 --max-prompts 3 --batch-size 5 --seed 6 --rule first_drop --tau 0.5 --delta 0.2 --epochs 7"
    status, output, error = run(
        "train-steps", "model", *sources, *rest.split(), "--cache-dir", "c", "--guidance-scale", 2
    )
    assert status == 0, error
    assert calls == [
        (
            ("model", ["one", "two", "three"]),
            {
                "steps": [2, 4],
                "batch_size": 5,
                "cache_dir": "c",
                "seed": 6,
                "device": "CPU",
                "rule": "first_drop",
                "tau": 0.5,
                "delta": 0.2,
                "text_encoder": None,
                "epochs": 7,
                "guidance_scale": 2.0,
            },
        )
    ]
    assert output.splitlines()[1] == "Predicted: 3.5, sufficient for 95.0% of 20 calibration prompts"
    status, output, _ = run("train-steps", "model", *sources, "--json")
    assert json.loads(output)["steps"] == [2, 4]
    assert "guidance_scale" not in calls[1][1]


# ---- encoders -------------------------------------------------------------------------------------------------------


def test_an_encoder_from_training_to_thresholds(tiny_encoder, run, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_encoder("bert"), model)
    words = " ".join(TEXT).split()
    data = tmp_path / "data.jsonl"
    rows = [{"sentence": " ".join(words[i : i + 4]), "topic": f"class_{i % 3}"} for i in range(len(words) - 4)]
    data.write_text("\n".join(map(json.dumps, rows[:90])))
    columns = ["--text-column", "sentence", "--label-column", "topic"]
    training = ["--epochs", 3, "--learning-rate", 5e-3, "--label-weight", 0, "--layers", "0,2", "--batch-size", 16]
    status, output, error = run("train-heads", model, "--data", data, *columns, *training)
    assert status == 0, error
    lines = output.splitlines()
    assert lines[0].startswith("exit_head_0: accuracy ")
    assert "agrees with the full model on" in lines[0]
    assert lines[2].startswith("full model: accuracy ")
    assert lines[3].startswith("Warning: only 7 held-out samples")
    assert lines[-1] == f"Attached to {model}"

    data.write_text("\n".join(json.dumps({**row, "sentence": f"the {row['sentence']}"}) for row in rows[:90]))
    arguments = ["calibrate", model, "--data", data, *columns, "--epsilon", 0.9, "--delta", 0.2]
    status, output, error = run(*arguments, "--json")
    assert status == 0, error
    printed = json.loads(output)
    assert (printed["risk"], printed["num_texts"]) == ("disagreement", len(rows[:90]))
    status, output, error = run(*arguments)
    assert "Disagreement with the full model: " in output.splitlines()[1]
    assert "Warning: the full model's accuracy, " in output
    status, output, error = run(*arguments, "--budget-flops", 0.9)
    assert status == 0, error
    assert output.splitlines()[0] == "Goal: 90% of the operations, without a guarantee"
    assert re.search(rf"Disagreement with the full model: .* on {len(rows[:90])} samples\n", output)
    assert f"(epsilon 0.9, {len(rows[:90])} samples)\n" in output
    status, _, error = run("calibrate", model, "--data", data, "--risk", "token_disagreement")
    assert status == 1
    assert "--risk must be one of disagreement, accuracy for the task 'text-classification'" in error
    written = DynExecConfig.from_pretrained(model).calibration
    assert written["method"] == "budget"
    assert 0 < written["mean_flops"] <= 0.9


def test_an_encoder_trained_with_its_heads(tiny_encoder_hf, run, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "\n".join(f"text {i},{'odd' if i % 2 else 'even'}" for i in range(20)))
    arguments = [
        "train-heads",
        tiny_encoder_hf("bert", "feature-extraction"),
        "--data",
        data,
        "--recipe",
        "alternating",
    ]
    arguments += ["--epochs", 1, "--layers", "1"]
    status, _, error = run(*arguments)
    assert status == 1
    assert "give a directory for it with --output" in error
    status, _, error = run(*arguments, "--output", tmp_path / "out")
    assert status == 1
    assert "but the task is 'feature-extraction'" in error
    status, output, error = run(*arguments, "--output", tmp_path / "out", "--task", "text-classification")
    assert status == 0, error
    assert f"optimum-cli export dynexec --model {tmp_path / 'out'} --task text-classification" in output
    assert (tmp_path / "out" / "heads" / "exit_head_1.safetensors").is_file()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["label2id"] == {"even": 0, "odd": 1}
