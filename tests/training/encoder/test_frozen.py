"""The recipe `frozen`, from an export and texts to heads that run."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open

from optimum_dynexec import DynExecConfig, DynExecModelForSequenceClassification
from optimum_dynexec.data.batches import hold_out, lengths_of, sorted_batches
from optimum_dynexec.data.inputs import load_inputs
from optimum_dynexec.data.samples import Columns, read_samples
from optimum_dynexec.directory import attach_heads
from optimum_dynexec.heads import load_head
from optimum_dynexec.training import EncoderTrainingArguments, train_encoder_heads
from optimum_dynexec.training.encoder import frozen
from optimum_dynexec.training.encoder.shape import HeadOptions
from optimum_dynexec.training.encoder.states import BATCH_SIZE


COLUMNS = Columns(label="topic")
ARGUMENTS = EncoderTrainingArguments(epochs=15, batch_size=32, eval_ratio=0.25, learning_rate=5e-3, dropout=0.0)


def _train(export, output, texts, **options):
    options = {"columns": COLUMNS, "training_arguments": ARGUMENTS, "progress": False, **options}
    task = DynExecConfig.from_pretrained(export).task
    return train_encoder_heads(export, output, task=task, data=[texts], **options)


@pytest.fixture(scope="module")
def trained(tiny_encoder, labelled_texts, tmp_path_factory):
    """Heads that learn from what a random model says."""
    export, output = tiny_encoder("bert"), tmp_path_factory.mktemp("heads")
    args = EncoderTrainingArguments(**{**ARGUMENTS.__dict__, "label_weight": 0.0})
    return export, _train(export, output, labelled_texts, training_arguments=args, head=HeadOptions(certainty=True))


def test_files_and_cards(trained):
    export, found = trained
    assert [head.layer for head in found.exits] == [0, 1, 2]
    for head in found.exits:
        config, tensors = load_head(head.path)
        assert (config.kind, config.layer, config.num_labels, config.masked) == ("pooled", head.layer, 3, True)
        assert tensors["certainty.weight"].shape == (1, 32)
        with safe_open(str(head.path), framework="np") as file:
            card = json.loads(file.metadata()["card"])
        assert card["recipe"] == "frozen"
        assert card["backbone_hash"] == DynExecConfig.from_pretrained(export).model_hash
        assert card["agreement"]["agreement"] == head.scores.agreement
        assert card["history"][-1]["loss"] < card["history"][0]["loss"]
    assert not list((found.exits[0].path.parent / ".cache").glob("checkpoint-*"))


def test_heads_run_as_they_were_trained(trained, labelled_texts, tmp_path):
    """The model that has them attached agrees with them as often as training said."""
    export, found = trained
    directory = tmp_path / "model"
    shutil.copytree(export, directory)
    attach_heads(directory, found.exits[0].path.parent)
    model = DynExecModelForSequenceClassification.from_pretrained(directory)
    samples = read_samples([labelled_texts], COLUMNS)
    _, held_out = hold_out(len(samples), ARGUMENTS.eval_ratio, ARGUMENTS.seed, samples.labels)
    inputs, _ = load_inputs(directory, "text-classification")
    samples = samples.select(held_out)
    # The tiny tokenizer pads before the text, so that what a model says depends on the batch.
    parts = [
        model.exit_logits(**inputs(samples.select(batch), 128))
        for batch in sorted_batches(lengths_of(samples.inputs), BATCH_SIZE)
    ]
    said = {
        layer: {name: torch.cat([part[layer][name] for part in parts]) for name in values}
        for layer, values in parts[0].items()
    }
    full = said[3]["logits"].argmax(-1)
    for head in found.exits:
        agreement = float((said[head.layer]["logits"].argmax(-1) == full).float().mean())
        # Near ties may fall the other way.
        assert agreement == pytest.approx(head.scores.agreement, abs=2 / len(full))
        assert "dynexec.certainty" in said[head.layer]


def test_labels_are_learned(tiny_encoder, labelled_texts, tmp_path):
    """With the weight all on labels, which a random model does not know."""
    args = EncoderTrainingArguments(**{**ARGUMENTS.__dict__, "label_weight": 1.0})
    found = _train(tiny_encoder("bert"), tmp_path, labelled_texts, training_arguments=args, layers=[1])
    (head,) = found.exits
    assert head.scores.accuracy > 0.8
    assert found.full.accuracy < 0.6


def test_an_interrupted_training_ends_the_same(tiny_encoder, labelled_texts, tmp_path, monkeypatch):
    export = tiny_encoder("bert")
    args = EncoderTrainingArguments(**{**ARGUMENTS.__dict__, "epochs": 4.0, "dropout": 0.2})
    options = {"layers": [0, 1], "training_arguments": args}
    whole = _train(export, tmp_path / "whole", labelled_texts, **options)
    saved = []
    original = frozen.Checkpoint.save

    def save(self, state):
        original(self, state)
        saved.append(state["epochs"])
        if len(saved) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(frozen.Checkpoint, "save", save)
    with pytest.raises(KeyboardInterrupt):
        _train(export, tmp_path / "cut", labelled_texts, **options)
    assert saved == [1, 2, 3, 4, 1, 2]
    again = _train(export, tmp_path / "cut", labelled_texts, **options)
    # The second head went on where it was.
    assert saved[6:] in ([3, 4], [1, 2, 3, 4, 3, 4])
    for one, other in zip(whole.exits, again.exits, strict=True):
        for name, value in load_head(one.path)[1].items():
            np.testing.assert_array_equal(value, load_head(other.path)[1][name])


@pytest.mark.parametrize(
    ("task", "kind"),
    [("token-classification", "token"), ("question-answering", "span"), ("feature-extraction", "features")],
)
def test_other_kinds(tiny_encoder, labelled_texts, tmp_path, task, kind):
    """They learn from the model; each sample has a row for each of its tokens."""
    found = _train(tiny_encoder("bert", task), tmp_path, labelled_texts, columns=None, layers=[1, 2], max_samples=80)
    for head in found.exits:
        assert load_head(head.path)[0].kind == kind
        with safe_open(str(head.path), framework="np") as file:
            history = json.loads(file.metadata()["card"])["history"]
        assert min(entry["loss"] for entry in history) < 0.9 * history[0]["loss"]
        assert max(entry["agreement"] for entry in history) > history[0]["agreement"]


def test_images(tiny_encoder, tmp_path):
    """Of a network whose hidden states are images."""
    from transformers import ViTImageProcessorPil

    directory = tmp_path / "model"
    shutil.copytree(tiny_encoder("resnet"), directory)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(directory)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, 32, 32)).astype(np.uint8)
    labels = np.arange(60) % 3
    images[labels == 1] //= 8
    images[labels == 2, :, :16] = 0
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    args = EncoderTrainingArguments(**{**ARGUMENTS.__dict__, "label_weight": 1.0, "epochs": 40.0, "patience": 99})
    found = _train(
        directory, tmp_path / "heads", tmp_path / "images.npz", columns=None, layers=[0, 1], training_arguments=args
    )
    assert load_head(found.exits[0].path)[0].layout == "nchw"
    assert found.exits[0].scores.accuracy > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [3]}, "`layers` must be from 0 to 2, but the list contains 3"),
        ({"columns": None, "training_arguments": EncoderTrainingArguments(label_weight=0.5)}, "has no labels"),
        ({"max_samples": 1}, "at least 2 samples"),
    ],
)
def test_errors(tiny_encoder, labelled_texts, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        _train(tiny_encoder("bert"), tmp_path, labelled_texts, **options)


@pytest.mark.parametrize(
    "options",
    [{"recipe": "boosting"}, {"epochs": 0}, {"label_weight": 2.0}, {"exit_weights": "random"}, {"eval_ratio": 1.0}],
)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        EncoderTrainingArguments(**options)
