"""The recipes that train the model too."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification

from optimum_dynexec import DynExecModelForSequenceClassification, export_dynexec
from optimum_dynexec.data.batches import hold_out
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import Columns, read_samples
from optimum_dynexec.training import EncoderTrainingArguments, train_encoder_heads
from optimum_dynexec.training.encoder import finetune
from optimum_dynexec.training.encoder.backbone_recipes import load_classifier
from optimum_dynexec.training.encoder.shape import HeadOptions


COLUMNS = Columns(label="topic")
OPTIONS = {"epochs": 6, "batch_size": 16, "learning_rate": 2e-3, "head_learning_rate": 5e-3, "eval_ratio": 0.25}


def _train(model, output, texts, recipe, **options):
    args = {key: options.pop(key) for key in list(options) if key in EncoderTrainingArguments.__dataclass_fields__}
    return train_encoder_heads(
        model,
        output,
        task="text-classification",
        data=[texts],
        columns=COLUMNS,
        training_arguments=EncoderTrainingArguments(recipe=recipe, **{**OPTIONS, **args}),
        progress=False,
        **options,
    )


@pytest.fixture(scope="module")
def joint(tiny_encoder_hf, labelled_texts, tmp_path_factory):
    """From a bare encoder."""
    output = tmp_path_factory.mktemp("joint") / "model"
    return _train(
        tiny_encoder_hf("bert", "feature-extraction"),
        output,
        labelled_texts,
        "joint",
        head=HeadOptions(certainty=True),
    )


def test_a_bare_encoder_becomes_a_classifier(joint):
    model = AutoModelForSequenceClassification.from_pretrained(joint.checkpoint)
    assert model.config.label2id == {"class_0": 0, "class_1": 1, "class_2": 2}
    assert joint.full.accuracy > 0.8
    assert [head.layer for head in joint.exits] == [0, 1, 2]
    assert min(head.scores.accuracy for head in joint.exits) > 0.8
    with safe_open(str(joint.exits[0].path), framework="np") as file:
        card = json.loads(file.metadata()["card"])
    assert (card["recipe"], len(card["history"])) == ("joint", 6)


def test_the_export_says_what_was_trained(joint, labelled_texts, tmp_path):
    """Model and heads go together into one directory, and give the accuracies that training reported."""
    export_dynexec(
        joint.checkpoint,
        tmp_path / "ov",
        task="text-classification",
        heads=joint.checkpoint / "heads",
        weight_format="fp32",
    )
    model = DynExecModelForSequenceClassification.from_pretrained(tmp_path / "ov", precision="exact")
    samples = read_samples([labelled_texts], COLUMNS)
    samples = samples.select(hold_out(len(samples), 0.25, 0, samples.labels)[1])
    inputs, _ = load_inputs(tmp_path / "ov", "text-classification")
    said = model.exit_logits(**inputs(samples, 128))
    labels = samples.label_ids(model.config.label2id)
    reported = {head.layer: head.scores.accuracy for head in joint.exits} | {3: joint.full.accuracy}
    for layer, accuracy in reported.items():
        found = float((said[layer]["logits"].argmax(-1).numpy() == labels).mean())
        assert found == pytest.approx(accuracy, abs=1.5 / len(samples))

    # A frozen model teaches heads without any label: here it says three things about equally often.
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(read_samples([labelled_texts], COLUMNS).inputs))
    frozen = EncoderTrainingArguments(epochs=15, batch_size=32, learning_rate=5e-3)
    taught = train_encoder_heads(
        tmp_path / "ov",
        tmp_path / "taught",
        task="text-classification",
        data=[texts],
        layers=[2],
        training_arguments=frozen,
        progress=False,
    )
    assert taught.full.accuracy is None
    assert taught.exits[0].scores.agreement > 0.8


def test_alternating_trains_heads_in_every_other_step(tiny_encoder_hf, labelled_texts, tmp_path):
    """The first step is the full model's alone: no head moves. In the second, all do."""
    model, *_ = load_classifier(tiny_encoder_hf("bert"), "text-classification", ["class_0"])
    samples = read_samples([labelled_texts], COLUMNS)
    labels = torch.from_numpy(samples.label_ids(model.config.label2id))
    inputs, _ = load_inputs(tiny_encoder_hf("bert"), "text-classification")
    moved = {}
    for recipe in ("alternating", "joint"):
        args = EncoderTrainingArguments(recipe=recipe)
        heads = {
            layer: finetune.EncoderHeadModule(HeadOptions().head_config(layer, finetune_shape(), True))
            for layer in (0, 2)
        }
        tuner = finetune.FineTuner(model, heads, inputs, 32, args, tmp_path / "c.safetensors", {}, False)
        for step in (0, 1):
            tuner.optimizer.zero_grad()
            tuner._loss(samples.select(range(8)), labels[:8], step).backward()
            moved[recipe, step] = [heads[layer].out.weight.grad is not None for layer in (0, 2)]
            for head in heads.values():
                head.zero_grad(set_to_none=True)
    assert moved == {
        ("alternating", 0): [False, False],
        ("alternating", 1): [True, True],
        ("joint", 0): [True, True],
        ("joint", 1): [True, True],
    }


def finetune_shape():
    from optimum_dynexec.directory.encoder_fit import ExitShape

    return ExitShape("pooled", 32, "tokens", 3)


def test_alternating_from_a_fine_tuned_model(tiny_encoder_hf, labelled_texts, tmp_path):
    """Its labels stay. Only the last layers learn, if that is asked for."""
    source = tiny_encoder_hf("bert")
    found = _train(
        source, tmp_path / "out", labelled_texts, "alternating", trainable_layers=2, layers=[1, 2], label_weight=0.7
    )
    before = AutoModelForSequenceClassification.from_pretrained(source)
    after = AutoModelForSequenceClassification.from_pretrained(found.checkpoint)
    assert after.config.label2id == before.config.label2id
    changed = {name for name, value in after.named_parameters() if not torch.equal(value, before.get_parameter(name))}
    assert {name for name in changed if ".layer." in name} == {
        name for name, _ in after.named_parameters() if ".layer.2." in name or ".layer.3." in name
    }
    assert not any("embeddings" in name for name in changed)
    assert found.full.accuracy > 0.6


def test_an_interrupted_training_goes_on(tiny_encoder_hf, labelled_texts, tmp_path, monkeypatch):
    options = {"epochs": 3, "layers": [1], "max_samples": 60}
    saved = []
    original = finetune.Checkpoint.save

    def save(self, state):
        original(self, state)
        saved.append(state["done"])
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune.Checkpoint, "save", save)
    with pytest.raises(KeyboardInterrupt):
        _train(tiny_encoder_hf("bert"), tmp_path / "out", labelled_texts, "joint", **options)
    monkeypatch.setattr(finetune.Checkpoint, "save", lambda self, state: saved.append(state["done"]))
    found = _train(tiny_encoder_hf("bert"), tmp_path / "out", labelled_texts, "joint", **options)
    # 45 samples in 3 steps an epoch; the last epoch is not kept, as it is the end.
    assert saved == [3, 6]
    with safe_open(str(found.exits[0].path), framework="np") as file:
        assert [entry["step"] for entry in json.loads(file.metadata()["card"])["history"]] == [3, 6, 9]
    assert not list((tmp_path / "out" / ".cache").glob("checkpoint-*"))


@pytest.mark.parametrize("killed", [True, False])
def test_killed_while_it_is_written(killed, tiny_encoder_hf, labelled_texts, tmp_path, monkeypatch):
    """Before the new model and heads take their place; what is there is never a mixture."""
    output = tmp_path / "out"
    options = {"epochs": 1, "max_samples": 40}

    def content() -> dict[str, bytes]:
        files = (path for path in output.rglob("*") if path.is_file() and ".cache" not in path.parts)
        return {str(path.relative_to(output)): path.read_bytes() for path in files}

    _train(tiny_encoder_hf("bert"), output, labelled_texts, "joint", layers=[1], **options)
    (output / "notes.txt").write_text("mine")
    old = content()

    def dies(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if killed:
            patch.setattr("optimum_dynexec.directory.staging._commit", dies)
        with pytest.raises(KeyboardInterrupt) if killed else nullcontext():
            _train(tiny_encoder_hf("bert"), output, labelled_texts, "joint", layers=[2], seed=1, **options)
    # The next one that begins puts in order what it finds.
    with pytest.raises(ValueError, match="99"):
        _train(tiny_encoder_hf("bert"), output, labelled_texts, "joint", layers=[99], **options)
    found = content()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert found.pop("notes.txt") == b"mine"
    if killed:
        assert found == {name: value for name, value in old.items() if name != "notes.txt"}
    else:
        assert found.keys() == {name.replace("exit_head_1", "exit_head_2") for name in old} - {"notes.txt"}
        assert found["model.safetensors"] != old["model.safetensors"]


def test_weights_of_exits_by_depth(tiny_encoder_hf, labelled_texts, tmp_path):
    """Against the formula, with heads that say fixed things."""
    model, *_ = load_classifier(tiny_encoder_hf("bert"), "text-classification", ["class_0"])
    model.eval()
    samples = read_samples([labelled_texts], COLUMNS).select(range(8))
    labels = torch.from_numpy(samples.label_ids(model.config.label2id))
    inputs, _ = load_inputs(tiny_encoder_hf("bert"), "text-classification")
    heads = {
        layer: finetune.EncoderHeadModule(HeadOptions().head_config(layer, finetune_shape(), True)) for layer in (0, 2)
    }
    losses = {}
    for weights in ("uniform", "depth"):
        args = EncoderTrainingArguments(recipe="joint", exit_weights=weights)
        tuner = finetune.FineTuner(model, heads, inputs, 32, args, tmp_path / "c.safetensors", {}, False)
        with torch.no_grad():
            losses[weights] = float(tuner._loss(samples, labels, 0))
            full, pooled = tuner._forward(samples)
            parts = {layer: torch.nn.functional.cross_entropy(heads[layer](pooled[layer]), labels) for layer in heads}
            own = torch.nn.functional.cross_entropy(full, labels)
    # The full model counts as much as all exits together.
    assert losses["uniform"] == pytest.approx(float((parts[0] + parts[2]) / 2 + own) / 2, rel=1e-3)
    assert losses["depth"] == pytest.approx(float((parts[0] + 3 * parts[2]) / 4 + own) / 2, rel=1e-3)


def test_the_best_epoch_is_kept(tiny_encoder_hf, labelled_texts, tmp_path, monkeypatch):
    """By the full model as much as by all exits. A training that gets no better ends, what it learned last goes."""
    accuracies = iter([(0.5, 0.5, 0.5), (0.6, 0.6, 0.6), (0.9, 0.9, 0.5), (0.1, 0.1, 0.9), (0.2, 0.2, 0.2)])
    evaluate, weights = finetune.FineTuner.evaluate, []

    def scored(self, *args):
        found = evaluate(self, *args)
        given = next(accuracies, None)
        if given is None:
            return found
        weights.append(self.model.classifier.weight.detach().clone())
        return {layer: replace(found[layer], accuracy=value) for layer, value in zip((0, 2, 3), given, strict=True)}

    monkeypatch.setattr(finetune.FineTuner, "evaluate", scored)
    trained = _train(tiny_encoder_hf("bert"), tmp_path / "out", labelled_texts, "joint", layers=[0, 2], patience=2)
    # Values 0.5, 0.6, 0.7, 0.5, 0.2: the third is the best, and two more are tried.
    assert len(weights) == 5
    after = AutoModelForSequenceClassification.from_pretrained(trained.checkpoint)
    np.testing.assert_array_equal(after.classifier.weight.detach(), weights[2])
    assert not torch.equal(weights[2], weights[4])


@pytest.mark.parametrize(("task", "quick"), [("feature-extraction", True), ("text-classification", False)])
def test_weights_that_are_new_learn_as_quickly_as_heads(tiny_encoder_hf, tmp_path, task, quick):
    """A new classifier, and the pooler in front of it; not those of a model that is fine-tuned already."""
    model, _, new = load_classifier(tiny_encoder_hf("bert", task), "text-classification", ["class_0", "class_1"])
    args = EncoderTrainingArguments(recipe="joint", learning_rate=1e-5, head_learning_rate=1e-3)
    tuner = finetune.FineTuner(model, {}, None, 32, args, tmp_path / "c.safetensors", {}, False, new)
    rates = {id(p): group["lr"] for group in tuner.optimizer.param_groups for p in group["params"]}
    assert rates[id(model.classifier.weight)] == (1e-3 if quick else 1e-5)
    assert rates[id(model.bert.pooler.dense.weight)] == (1e-3 if quick else 1e-5)
    assert rates[id(model.bert.encoder.layer[3].output.dense.weight)] == 1e-5


def test_labels_with_names_for_a_classifier_that_has_none(tiny_encoder_hf, tmp_path):
    source = tmp_path / "model"
    shutil.copytree(tiny_encoder_hf("bert"), source)
    config = json.loads((source / "config.json").read_text())
    config.update(id2label={str(i): f"LABEL_{i}" for i in range(3)}, label2id={f"LABEL_{i}": i for i in range(3)})
    (source / "config.json").write_text(json.dumps(config))
    model, label2id, new = load_classifier(source, "text-classification", ["calm", "glad", "sad", "wild"])
    assert label2id == {"calm": 0, "glad": 1, "sad": 2, "wild": 3}
    assert model.classifier.weight.shape[0] == 4
    assert new == {"classifier.weight", "classifier.bias"}
    # Numbers are labels that it has.
    assert load_classifier(source, "text-classification", ["0", "1"])[1] == {f"LABEL_{i}": i for i in range(3)}


def test_errors(tiny_encoder_hf, labelled_texts, tmp_path):
    with pytest.raises(ValueError, match="needs labels"):
        train_encoder_heads(
            tiny_encoder_hf("bert"),
            tmp_path,
            task="text-classification",
            data=[labelled_texts],
            training_arguments=EncoderTrainingArguments(recipe="joint"),
        )
    with pytest.raises(ValueError, match="but the task is 'token-classification'"):
        load_classifier(tiny_encoder_hf("bert"), "token-classification", ["a"])
    assert np.array_equal(sorted(path.name for path in tmp_path.iterdir()), [])
