"""`optimize` on tiny models: the whole chain, its reasons, and that it goes on where it was stopped."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM
from optimum_dynexec.data.samples import Columns
from optimum_dynexec.optimize import OptimizeArguments, OptimizeError, optimize
from optimum_dynexec.optimize import main as optimize_main
from optimum_dynexec.optimize.splits import parts_of
from optimum_dynexec.optimize.steps import Step
from optimum_dynexec.optimize.steps import tune as tune_step
from optimum_dynexec.training.encoder.arguments import DEFAULTS
from tests.tiny_models import TEXT


WORDS = " ".join(TEXT).split()
QUICK = OptimizeArguments(
    max_loss=0.9,
    formats=("int8",),
    epochs=1,
    vocab_size=100,
    max_new_tokens=8,
    quantization_samples=4,
    tuning_time=3,
    benchmark_samples=2,
)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("\n".join(" ".join(WORDS[i : i + 4]) for i in range(20)))
    return path


@pytest.fixture(scope="module")
def run(tiny_hf, prompts, tmp_path_factory):
    """An `optimize` that is interrupted while it trains heads, and then called again."""
    output = tmp_path_factory.mktemp("optimize") / "out"
    arguments = {"data": [prompts], "arguments": QUICK, "progress": False}

    def interrupted(context):
        raise KeyboardInterrupt

    steps = optimize_main.STEPS
    stopped = tuple(replace(step, run=interrupted) if step.name == "heads" else step for step in steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize_main, "STEPS", stopped)
        with pytest.raises(KeyboardInterrupt):
            optimize(tiny_hf("llama"), output, **arguments)
    before = json.loads((output / "optimize.json").read_text())["steps"]
    said: list[str] = []
    found = optimize(tiny_hf("llama"), output, say=said.append, **arguments)
    return output, found, before, said


def test_goes_on_where_it_was(run):
    output, _, before, said = run
    assert list(before) == ["data", "fine-tune", "export", "baseline", "quantize"]
    after = json.loads((output / "optimize.json").read_text())["steps"]
    assert list(after) == [step.name for step in optimize_main.STEPS]
    # What was done is neither done again nor asked again.
    assert {name: after[name] for name in before} == before
    assert [line for line in said if line.endswith("already done in an earlier call")] == [
        f"{name}: already done in an earlier call" for name in before
    ]


def test_what_comes_of_it(run):
    output, found, _, _ = run
    config = DynExecConfig.from_pretrained(output / "model")
    assert list(config.heads) == ["draft_head"]
    # Trained on the very model that it stands beside, quantized or not.
    assert config.heads["draft_head"].trained_on == config.model_hash
    assert config.tuning is not None
    assert found.directory == output / "model"
    assert found.report == output / "report" / "report.html"
    quantized = found.steps["quantize"]
    assert 0 < quantized["losses"]["int8"] <= 0.9
    assert set(quantized["costs"]) == {"f32", "int8"}
    text = "\n".join(found.lines)
    assert "quantize: int8 kept: disagreement" in text
    assert f"quantize: {quantized['chosen']} chosen: f32 " in text
    assert "heads: draft_head: agrees with the model on" in text
    # The report knows what was lost, and so can judge.
    results = json.loads((output / "report" / "results.json").read_text())
    assert all(row["loss"] is not None for workload in results["workloads"] for row in workload["systems"])
    model = DynExecModelForCausalLM.from_pretrained(output / "model")
    assert model.tuning is not None
    assert model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3).shape == (1, 6)


def test_parts_have_nothing_in_common(run, prompts):
    output, *_ = run
    parts = {
        name: [json.loads(line)["prompt"] for line in (output / "data" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "calibrate", "test")
    }
    every = [prompt for part in parts.values() for prompt in part]
    assert len(every) == len(set(every)) == 20
    assert [len(part) for part in parts.values()] == [12, 4, 4]
    assert set(every) == set(prompts.read_text().splitlines())


def test_other_arguments_do_again_what_depends_on_them(run, tiny_hf, prompts):
    output, found, *_ = run
    said: list[str] = []
    arguments = replace(QUICK, max_loss=1e-9, train=False, benchmark_samples=0)
    again = optimize(tiny_hf("llama"), output, data=[prompts], arguments=arguments, progress=False, say=said.append)
    before = [f"{name}: already done in an earlier call" for name in ("data", "fine-tune", "export", "baseline")]
    assert [line for line in said if line.endswith("already done in an earlier call")] == before
    assert again.steps["quantize"]["chosen"] == "f32"
    loss = again.steps["quantize"]["losses"]["int8"]
    assert loss == found.steps["quantize"]["losses"]["int8"]
    assert any(
        line.startswith(f"quantize: int8 refused: disagreement {loss:.2%} (95% interval ") for line in again.lines
    )
    assert "quantize: f32 chosen: no quantization is within the limit" in again.lines
    assert "heads: none, as requested" in again.lines
    assert not (output / "quantized" / "int8").exists()
    assert DynExecConfig.from_pretrained(output / "model").heads == {}


@pytest.fixture
def steps(monkeypatch):
    """Steps that only say that they were done, by name in `done`; `stop` names one that is interrupted."""
    found = SimpleNamespace(done=[], stop=None)

    def step(name, *uses):
        def run(context):
            found.done.append(name)
            if name == found.stop:
                raise KeyboardInterrupt
            return {}, []

        return Step(name, run, uses)

    monkeypatch.setattr(optimize_main, "STEPS", (step("data"), step("heads", "epochs"), step("report")))
    return found


def test_what_was_begun_anew_is_not_done(tiny_hf, prompts, tmp_path, steps):
    """Interrupted with other arguments, the first ones' outcome is no longer there."""

    def done(stop=None, **changes):
        steps.done.clear()
        steps.stop = stop
        given = {"data": [prompts], "arguments": replace(QUICK, **changes), "progress": False}
        optimize(tiny_hf("llama"), tmp_path / "out", **given)
        return list(steps.done)

    assert done() == ["data", "heads", "report"]
    assert done() == []
    with pytest.raises(KeyboardInterrupt):
        done(stop="heads", epochs=9)
    assert done() == ["heads", "report"]
    # A report of an earlier call is not this one's.
    (tmp_path / "out" / "report").mkdir()
    (tmp_path / "out" / "report" / "report.html").touch()
    given = {"data": [prompts], "arguments": QUICK, "progress": False}
    assert optimize(tiny_hf("llama"), tmp_path / "out", **given).report is None


def test_another_column_is_other_data(tiny_hf, tmp_path, steps):
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"question": "what", "answer": "that"}))
    for column, expected in (("question", 3), ("question", 3), ("answer", 6)):
        optimize(tiny_hf("llama"), tmp_path / "out", data=[f"{path}:{column}"], arguments=QUICK, progress=False)
        assert len(steps.done) == expected


@pytest.mark.slow
def test_classifier_of_pairs(tiny_encoder_hf, tmp_path, monkeypatch):
    path = tmp_path / "texts.csv"
    rows = [f'"{" ".join(WORDS[i % 60 : i % 60 + 3 + i // 60])}",{WORDS[i % 7]},class_{i % 3}' for i in range(200)]
    path.write_text("\n".join(["text,other,label", *rows]))
    # A tiny share of the data is right by chance, so that a large limit is needed for anything to leave.
    arguments = replace(QUICK, formats=("int8",), task="text-classification", delta=0.4, quantization_samples=16)
    # A random model, whose answers have nothing to do with the labels.
    arguments = replace(arguments, columns=Columns(text_pair="other"), accuracy_check=False)
    tuned_on, tune = [], tune_step.tune

    def tuned(*given, **options):
        tuned_on.append(options["arguments"].columns)
        return tune(*given, **options)

    monkeypatch.setattr(tune_step, "tune", tuned)
    found = optimize(tiny_encoder_hf("bert"), tmp_path / "out", data=[path], arguments=arguments, progress=False)
    text = "\n".join(found.lines)
    assert "quantize: int8 kept: accuracy loss or share of different answers" in text
    assert found.steps["heads"]["heads"] == ["exit_head_0", "exit_head_1", "exit_head_2"]
    assert found.steps["calibrate"]["calibrated"]
    config = DynExecConfig.from_pretrained(tmp_path / "out" / "model")
    lost = max(found.steps["quantize"]["losses"].get(found.steps["quantize"]["chosen"], 0.0), 0.0)
    # Early exit is given what quantization has left of the limit.
    assert config.calibration["epsilon"] == pytest.approx(0.9 - lost)
    assert config.tuning["max_loss"] == pytest.approx(0.9 - lost)
    # The second text is not lost on the way to what is tuned and reported.
    assert tuned_on == [Columns(text_pair="text_pair")]
    results = json.loads((tmp_path / "out" / "report" / "results.json").read_text())
    assert results["provenance"]["arguments"]["columns"]["text_pair"] == "text_pair"
    assert f"benchmark: {results['answer']['sentence']}" in found.lines


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """240 texts whose first words tell their label."""
    path, names = tmp_path_factory.mktemp("labelled") / "texts.jsonl", ("calm", "glad", "wild")
    texts = [" ".join([WORDS[i % 3]] * 3 + WORDS[i % 50 : i % 50 + 1 + i % 7]) for i in range(240)]
    rows = [{"text": text, "mood": names[i % 3]} for i, text in enumerate(texts)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def _to_the_baseline(model, data, output, monkeypatch, **changes):
    """The steps before anything is quantized: no more."""
    steps = [step for step in optimize_main.STEPS if step.name in ("data", "fine-tune", "export", "baseline")]
    monkeypatch.setattr(optimize_main, "STEPS", (*steps, Step("report", lambda context: ({}, []), ())))
    arguments = OptimizeArguments(
        task="text-classification", columns=Columns(label="mood"), benchmark_samples=0, **changes
    )
    return optimize(model, output, data=[data], arguments=arguments, progress=False, say=lambda line: None)


def test_a_bare_encoder_is_fine_tuned_or_refused(tiny_encoder_hf, labelled, tmp_path, monkeypatch):
    """Its classifier would be random: a small loss of it would say nothing."""
    bare, output = tiny_encoder_hf("bert", "feature-extraction"), tmp_path / "out"
    with pytest.raises(OptimizeError, match=r"is not trained for the task.*'classifier.weight'.*--fine-tune"):
        _to_the_baseline(bare, labelled, output, monkeypatch)
    assert not (output / "base").exists()
    # A random encoder has more to learn than one that is pretrained.
    monkeypatch.setitem(DEFAULTS, "joint", (6.0, 2e-3, 16))
    found = _to_the_baseline(bare, labelled, output, monkeypatch, fine_tune=True)
    assert json.loads((output / "base" / "config.json").read_text())["label2id"] == {"calm": 0, "glad": 1, "wild": 2}
    measured = found.steps["baseline"]
    assert measured["samples"] == 48
    assert measured["interval"][0] > measured["most_frequent"]
    text = "\n".join(found.lines)
    assert "fine-tune: full model: accuracy " in text
    assert "baseline: the model in fp32 has an accuracy of " in text


def test_a_random_classifier_is_refused(tiny_encoder_hf, labelled, tmp_path, monkeypatch):
    """All its weights are in the checkpoint, so that only labels can show it."""
    data = tmp_path / "texts.jsonl"
    data.write_text(
        labelled.read_text().replace("calm", "class_0").replace("glad", "class_1").replace("wild", "class_2")
    )
    model, output = tiny_encoder_hf("bert"), tmp_path / "out"
    with pytest.raises(OptimizeError, match=r"always answering the most frequent label .* --no-accuracy-check"):
        _to_the_baseline(model, data, output, monkeypatch)
    assert not (output / "quantized").exists()
    found = _to_the_baseline(model, data, output, monkeypatch, accuracy_check=False)
    assert found.steps["baseline"]["interval"][0] <= found.steps["baseline"]["most_frequent"]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (("bert", None), {}, "the label 'calm', but the labels of the model are"),
        (("bert", None), {"columns": Columns(label="text_pair")}, "does not have the column 'text_pair'"),
        (("bert", None), {"columns": Columns(), "fine_tune": True}, "fine-tuning needs labels"),
    ],
)
def test_what_does_not_fit_is_said_before_the_export(
    tiny_encoder_hf, labelled, tmp_path, monkeypatch, model, options, message
):
    def exported(*_, **__):
        raise AssertionError("exported before the data was checked")

    monkeypatch.setattr("optimum_dynexec.optimize.steps.export.export_dynexec", exported)
    arguments = OptimizeArguments(**{"columns": Columns(label="mood"), **options})
    with pytest.raises(ValueError, match=message):
        optimize(tiny_encoder_hf(*model), tmp_path / "out", data=[labelled], arguments=arguments, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": []}, "give inputs like those in use"),
        ({"arguments": {"recipe": "speed"}}, "`recipe` must be one of"),
        ({"arguments": {"max_loss": 0.0}}, "`max_loss` must be between 0 and 1"),
        ({"arguments": {"formats": ("int8", "int9")}}, "there is no format 'int9' for a decoder; the formats are"),
        (
            {"arguments": {"task": "feature-extraction"}},
            "can be optimized, but this model is for 'feature-extraction'",
        ),
        ({"arguments": {"fine_tune": True}}, "for classifiers, but this model is a decoder"),
        ({"output": "full"}, "contains other files"),
    ],
)
def test_errors(tiny_hf, prompts, tmp_path, change, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(OptimizeError, match=message):
        optimize(
            tiny_hf("llama"),
            tmp_path / change.get("output", "out"),
            data=change.get("data", [prompts]),
            arguments=OptimizeArguments(**change.get("arguments", {})),
            progress=False,
        )


def test_what_the_report_needs_is_asked_for_first(tiny_hf, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(optimize_main, "REPORT_PACKAGES", ("no_such_package",))
    with pytest.raises(OptimizeError, match=r"the report needs no_such_package: pip install"):
        optimize(tiny_hf("llama"), tmp_path / "out", data=[prompts], progress=False)
    assert not (tmp_path / "out").exists()


def test_too_little_data():
    with pytest.raises(OptimizeError, match="needs at least 10 inputs, but there are 9"):
        parts_of(9, None, 0)
    with pytest.raises(OptimizeError, match="there are 5"):
        parts_of(100, 5, 0)
