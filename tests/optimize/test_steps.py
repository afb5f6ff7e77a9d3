"""Single steps of `optimize`, on made-up findings: nothing is exported, trained or measured."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from optimum_dynexec import DynExecConfig
from optimum_dynexec.calibration import NoThresholdError
from optimum_dynexec.data.samples import Columns
from optimum_dynexec.optimize import OptimizeArguments, OptimizeError
from optimum_dynexec.optimize.kinds import kind_for
from optimum_dynexec.optimize.recipes import RECIPES
from optimum_dynexec.optimize.steps import benchmark, calibrate, heads, quantize
from optimum_dynexec.tuning.encoder import LEAST_SAMPLES
from optimum_dynexec.tuning.halving import Measurement
from optimum_dynexec.utils.losses import accuracy_loss


THRESHOLDS = {"criterion": "max_prob", "thresholds": {"1": 0.5}}


@pytest.mark.parametrize(
    ("task", "tuned", "measured"),
    [
        # Speculation and early exit exclude each other in a call.
        ("text-generation-with-past", {"speculation": "draft_head"}, {"speculation": "draft_head"}),
        ("text-generation-with-past", {"speculation": "off"}, {"speculation": "auto"}),
        (
            "text-classification",
            {"early_exit": None, "batch_size": 1},
            {"criterion": "max_prob", "thresholds": {1: 0.5}},
        ),
        (
            "text-classification",
            {"early_exit": {"criterion": "margin", "threshold": 0.9}, "batch_size": 1},
            {"criterion": "margin", "threshold": 0.9},
        ),
    ],
)
def test_what_a_calibrated_model_is_measured_with(tmp_path, task, tuned, measured):
    DynExecConfig(task=task, calibration=THRESHOLDS).save_pretrained(tmp_path)
    context = SimpleNamespace(result=tmp_path, found={"tune": {"tuning": {"options": tuned}}}, kind=kind_for(task))
    assert context.kind.dynamic_options(benchmark._dynamic(context)) == measured


def test_an_earlier_calibration_does_not_outlive_a_refusal(tmp_path):
    DynExecConfig(calibration=THRESHOLDS, tuning={"options": {}}).save_pretrained(tmp_path)

    def refuse(*_):
        raise NoThresholdError("too few")

    context = SimpleNamespace(
        result=tmp_path,
        found={"quantize": {"chosen": "f32", "losses": {}}, "heads": {"heads": ["exit_head_0"]}},
        kind=SimpleNamespace(calibrate=refuse),
        part=lambda name: name,
        args=OptimizeArguments(),
        progress=False,
    )
    assert calibrate.run(context) == ({"calibrated": False}, ["calibrate: early exit refused: too few"])
    config = DynExecConfig.from_pretrained(tmp_path)
    assert (config.calibration, config.tuning) == (None, None)


def test_columns_of_the_parts():
    pairs = OptimizeArguments(columns=Columns(text="premise", text_pair="hypothesis"))
    assert kind_for("text-classification").columns(pairs) == Columns(text_pair="text_pair")
    assert kind_for("text-generation-with-past").columns(OptimizeArguments()) is None


def test_heads_of_an_earlier_call_are_not_attached(tmp_path, monkeypatch):
    """It was asked for other layers."""
    attached = []

    def attach(directory, path):
        attached.append(sorted(file.name for file in path.glob("*.safetensors")))
        return SimpleNamespace(heads={})

    def train(directory, output, *_):
        (output / "exit_head_2.safetensors").touch()
        return {output / "exit_head_2.safetensors": "exit_head_2: good"}, ["full model: better"]

    monkeypatch.setattr(heads, "_link", lambda source, target: None)
    monkeypatch.setattr(heads, "attach_heads", attach)
    (tmp_path / "exit_head_1.safetensors").touch()
    context = SimpleNamespace(
        args=OptimizeArguments(),
        base=tmp_path,
        heads=tmp_path,
        kind=SimpleNamespace(name="encoder", noun="a classifier", train=train),
        output=tmp_path,
        part=lambda name: name,
        progress=False,
        recipe=RECIPES["latency"],
        reference=tmp_path / "reference",
        result=tmp_path / "model",
        say=print,
        found={"quantize": {"place": "base"}},
    )
    _, lines = heads.run(context)
    assert attached == [["exit_head_2.safetensors"]] * 2
    assert lines[:2] == ["heads: exit_head_2: good", "heads: full model: better"]


@pytest.mark.parametrize(("trained_on", "said"), [("other", True), ("this", False), (None, False)])
def test_heads_of_another_export_are_said_to_be(tmp_path, monkeypatch, trained_on, said):
    made = SimpleNamespace(heads={"draft_head": SimpleNamespace(trained_on=trained_on)}, model_hash="this")
    monkeypatch.setattr(heads, "_link", lambda source, target: None)
    monkeypatch.setattr(heads, "attach_heads", lambda directory, path: made)
    context = SimpleNamespace(
        args=OptimizeArguments(heads=tmp_path),
        base=tmp_path,
        output=tmp_path,
        reference=tmp_path / "reference",
        result=tmp_path / "model",
        found={"quantize": {"place": "base"}},
    )
    _, lines = heads.run(context)
    assert any("draft_head trained on another export" in line for line in lines) == said


def format_context(run, **arguments):
    return SimpleNamespace(
        args=OptimizeArguments(**arguments),
        kind=SimpleNamespace(name="encoder", runs=lambda *_: ([1.0, 1.0, 9.0, 9.0], run)),
        part=lambda name: name,
        progress=False,
        recipe=RECIPES["latency"],
        say=print,
    )


def test_formats_are_compared_side_by_side(tmp_path):
    speedups = {"f32": 1.0, "int8": 2.0, "int4": 1.5}
    context = format_context(lambda trial, item: Measurement(item / speedups[trial.name], 1))
    chosen, costs, why = quantize._fastest(context, dict.fromkeys(speedups, tmp_path))
    assert chosen == "int8"
    assert costs == pytest.approx({"f32": 5.0, "int8": 2.5, "int4": 5.0 / 1.5})
    assert why.endswith("without dynamic execution; int8 is faster than f32: 2.00x (interval 2.00 to 2.00, 24 rounds)")
    # What only seems faster is not chosen.
    draw = np.random.default_rng(0)
    context = format_context(lambda trial, item: Measurement(item * float(np.exp(draw.normal(0, 1))), 1))
    chosen, _, why = quantize._fastest(context, dict.fromkeys(speedups, tmp_path))
    assert chosen == "f32"
    assert "int8 is undecided, because the machine is too noisy" in why


@pytest.mark.parametrize(
    ("lost", "gained", "count", "verdict", "kept", "said"),
    [
        (
            0,
            0,
            20,
            "kept, but undecided",
            True,
            "accuracy loss 0.00% (95% interval -16.11% to 16.11%, 20 samples), limit 1.00%; undecided: about 381"
            " samples would decide",
        ),
        (0, 0, 400, "kept", True, "accuracy loss 0.00% (95% interval -0.95% to 0.95%, 400 samples), limit 1.00%"),
        (60, 0, 400, "refused", False, "accuracy loss 15.00% (95% interval 11.8"),
        (3, 0, 100, "left out, but undecided", False, "accuracy loss 3.00% (95% interval "),
        (0, 6, 100, "kept", True, "accuracy 6.00 points higher (95% interval -"),
    ],
)
def test_what_samples_cannot_show_is_undecided(lost, gained, count, verdict, kept, said):
    full, own = np.ones(count, bool), np.ones(count, bool)
    own[:lost] = False
    full[count - gained :] = False
    loss = accuracy_loss(full, own)
    kind = SimpleNamespace(loss_name="accuracy loss", gain_name="accuracy {:.2f} points higher", loss_unit="samples")
    assert quantize._verdict(loss, 0.01) == (verdict, kept)
    assert quantize._loss_text(SimpleNamespace(kind=kind, args=OptimizeArguments()), loss).startswith(said)


def test_a_classifier_with_too_little_to_tune_on_is_refused_at_once(tmp_path):
    path = tmp_path / "texts.txt"
    texts = [f"text {number}" for number in range(160)]
    path.write_text("\n".join(texts[:-1]))
    with pytest.raises(OptimizeError, match="needs at least 160 inputs, but there are 159"):
        kind_for("text-classification").split([str(path)], tmp_path, OptimizeArguments())
    path.write_text("\n".join(texts))
    names, _ = kind_for("text-classification").split([str(path)], tmp_path, OptimizeArguments())
    assert len((tmp_path / names["calibrate"]).read_text().splitlines()) == LEAST_SAMPLES


def test_texts_longer_than_a_file_name_may_be_are_texts(tmp_path):
    texts = [f"{number} {'many words ' * 60}" for number in range(160)]
    # This one is the name of a file, too.
    (tmp_path / "a").touch()
    texts[0] = str(tmp_path / "a")
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts))
    names, count = kind_for("text-classification").split([str(path)], tmp_path, OptimizeArguments())
    rows = [json.loads(line) for name in names.values() for line in (tmp_path / name).read_text().splitlines()]
    assert count == 160
    assert {row["text"].strip() for row in rows} == {text.strip() for text in texts}


def test_images_are_not_taken_for_texts(tmp_path):
    """Their column has no usual name, so that only the task says what the values are."""
    for index in range(160):
        Image.fromarray(np.full((2, 2, 3), index, np.uint8)).save(tmp_path / f"{index}.png")
    path = tmp_path / "pictures.csv"
    path.write_text("picture\n" + "\n".join(str(tmp_path / f"{index}.png") for index in range(160)))
    args = OptimizeArguments(columns=Columns(text="picture"))
    names, _ = kind_for("image-classification").split([str(path)], tmp_path, args)
    found = [value for name in names.values() for value in np.load(tmp_path / name)["images"][:, 0, 0, 0].tolist()]
    assert sorted(found) == list(range(160))
    path.write_text("picture\n" + "many words \n" * 160)
    with pytest.raises(ValueError, match="takes images, but 'many words ' in the data is not an image file"):
        kind_for("image-classification").split([str(path)], tmp_path, args)


@pytest.mark.parametrize(("recipe", "draft"), [("latency", True), ("memory", False)])
def test_layers_do_not_bring_a_draft_head_into_little_memory(tmp_path, monkeypatch, recipe, draft):
    asked = []
    monkeypatch.setattr(
        "optimum_dynexec.training.decoder.train.train_heads", lambda *_, **options: asked.append(options) or []
    )
    args = OptimizeArguments(recipe=recipe, layers=[1])
    kind_for("text-generation-with-past").train(tmp_path, tmp_path, "train.jsonl", args, False)
    assert [(options["layers"], options["draft_head"]) for options in asked] == [([1], draft)]
