"""`train_heads` from end to end on a tiny model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from optimum_dynexec.data.continuations import ContinuationArguments
from optimum_dynexec.heads import load_head
from optimum_dynexec.training.decoder import trainer as trainer_module
from optimum_dynexec.training.decoder.evaluation import Agreement, agreement_warnings
from optimum_dynexec.training.decoder.train import train_heads
from optimum_dynexec.training.decoder.trainer import HeadTrainer, TrainingArguments
from tests.tiny_models import TEXT


ARGUMENTS = {
    "continuation_arguments": ContinuationArguments(max_new_tokens=24, sampled_every=0),
    "training_arguments": TrainingArguments(epochs=12, batch_rows=64, eval_ratio=0.2, draft_steps=2, patience=99),
    "progress": False,
}


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    words = " ".join(TEXT).split()
    path.write_text("\n".join(" ".join(words[i : i + 4]) for i in range(40)))
    return str(path)


@pytest.fixture(scope="module")
def trained(tiny_export, prompts, tmp_path_factory):
    output = tmp_path_factory.mktemp("heads")
    return train_heads(tiny_export("llama"), output, data=[prompts], layers=[1], vocab_size=120, **ARGUMENTS)


def test_files_and_cards(trained):
    assert [head.name for head in trained] == ["draft_head", "exit_head_1"]
    for head in trained:
        config, tensors = load_head(head.path)
        assert config.name == head.name
        assert config.num_key_value_heads == 2
        assert len(config.stop_classifier) == 4
        assert 0 < len(tensors["token_ids"]) <= 120
        assert "unembedding.weight" not in tensors
        with safe_open(str(head.path), framework="np") as file:
            card = json.loads(file.metadata()["card"])
        assert card["agreement"]["first"] == head.agreement.first
        low, high = card["agreement"]["interval"]
        assert 0 <= low < head.agreement.first < high <= 1
        assert f"of {head.agreement.tokens} held-out tokens (95% interval {low:.1%} to {high:.1%})" in str(
            head.agreement
        )
        assert len(card["training_texts"]) == 8 * 40
        assert card["history"][-1]["loss"] < card["history"][0]["loss"]
        assert card["backbone_hash"].startswith("sha256:")


def test_the_layers_that_a_draft_head_reads(tiny_export, prompts, trained, tmp_path, monkeypatch):
    """Those asked for; by default after a third and two thirds; with `start_from` those of the head there."""
    draft = trained[0].path
    assert load_head(draft)[0].feature_layers == (0, 1)
    heads = []

    def begun(self):
        heads.append(self.head)
        raise KeyboardInterrupt

    monkeypatch.setattr(HeadTrainer, "train", begun)
    common = {"data": [prompts], "vocab_size": 120, "cache_dir": draft.parent / ".cache", **ARGUMENTS}
    for options in ({"draft_layers": []}, {"draft_layers": [1]}, {"start_from": draft}):
        with pytest.raises(KeyboardInterrupt):
            train_heads(tiny_export("llama"), tmp_path, **options, **common)
    assert [head.config.feature_layers for head in heads] == [(), (1,), (0, 1)]
    given = load_head(draft)[1]["fc_layers.weight"]
    assert np.allclose(heads[-1].fc_layers.weight.detach().numpy(), given)
    with pytest.raises(ValueError, match=r"its `feature_layers` is \(0, 1\), but \(\) is requested"):
        train_heads(tiny_export("llama"), tmp_path, start_from=draft, draft_layers=[], **common)


def test_a_head_learns(trained):
    draft, exit_head = trained
    # A random model's next layer can be learned from a few texts, the best constant guess is right 5% of the time.
    assert exit_head.agreement.first > 0.5
    # What it writes two tokens on cannot: a draft head gets to know its own texts, which shows in the loss.
    with safe_open(str(draft.path), framework="np") as file:
        losses = [entry["loss"] for entry in json.loads(file.metadata()["card"])["history"]]
    assert min(losses) < losses[0] - 1.0
    assert draft.agreement.first <= draft.agreement.accepted
    assert str(draft.agreement).endswith("of 6 draft tokens accepted")
    assert list(draft.agreement.by_step) == sorted(draft.agreement.by_step, reverse=True)
    weak = agreement_warnings({"exit_head_0": Agreement(0.29, 0.29, 1, 500), "exit_head_1": exit_head.agreement})
    assert [line.split(":")[0] for line in weak] == ["exit_head_0 is too weak to help"]
    assert agreement_warnings({"exit_head_0": Agreement(0.0, 0.0, 1, 0)}) == []


def test_an_interrupted_training_goes_on(tiny_export, prompts, trained, tmp_path, monkeypatch):
    evaluate, calls = trainer_module.evaluate, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(*args)

    def train():
        return train_heads(tiny_export("llama"), tmp_path, data=[prompts], layers=[1], vocab_size=120, **ARGUMENTS)

    monkeypatch.setattr(trainer_module, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train()
    assert not list(tmp_path.glob("*.safetensors"))
    calls[:] = [None] * 9
    again = train()
    assert len(calls) - 9 < len(trained) * 24  # what was evaluated before is not evaluated again
    for first, second in zip(trained, again, strict=True):
        for name, values in load_head(first.path)[1].items():
            assert np.array_equal(values, load_head(second.path)[1][name]), name
    assert not list((tmp_path / ".cache").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": [2]}, "`layers` must be from 0 to 1, but contains 2"),
        ({"draft_layers": [2]}, "`draft_layers` must be from 0 to 1, but contains 2"),
        ({"kind": "tree"}, "`kind` must be one of"),
        ({"draft_head": False}, "nothing to train"),
        ({"continuations": "none"}, "'own' or 'text'"),
    ],
)
def test_wrong_arguments(tiny_export, prompts, tmp_path, arguments, message: str):
    with pytest.raises(ValueError, match=message):
        train_heads(tiny_export("llama"), tmp_path, data=[prompts], **arguments)
    assert not list(Path(tmp_path).iterdir())


def test_a_checkpoint_is_of_the_same_words(tiny_export, prompts, trained, tmp_path, monkeypatch):
    """Weights that were trained for other words are not gone on with."""
    places = []

    def begun(self):
        places.append(self.checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(HeadTrainer, "train", begun)
    options = {"layers": [1], "kind": "norm", "draft_head": False, "cache_dir": trained[0].path.parent / ".cache"}
    for words in (120, 60):
        with pytest.raises(KeyboardInterrupt):
            train_heads(tiny_export("llama"), tmp_path, data=[prompts], vocab_size=words, **options, **ARGUMENTS)
    assert len(set(places)) == 2


def test_given_texts_and_other_kinds(tiny_export, prompts, tmp_path, monkeypatch):
    """There is nothing to choose weights by, as the model did not write the texts: they are those of the end."""
    latest, saves = {}, HeadTrainer._save_checkpoint

    def remember(self, *args):
        latest[self.head.config.name] = {name: value.clone() for name, value in self._weights().items()}
        saves(self, *args)

    monkeypatch.setattr(HeadTrainer, "_save_checkpoint", remember)
    arguments = {**ARGUMENTS, "training_arguments": replace(ARGUMENTS["training_arguments"], patience=2)}
    heads = train_heads(
        tiny_export("gpt2"),
        tmp_path,
        data=[prompts],
        layers=[0, 1],
        kind="adapter",
        draft_head=False,
        continuations="text",
        vocab_size=0,
        rank=4,
        weight_format="fp32",
        **arguments,
    )
    assert [head.name for head in heads] == ["exit_head_0", "exit_head_1"]
    assert len(load_head(heads[0].path)[1]["token_ids"]) == load_head(heads[0].path)[0].vocab_size
    for head in heads:
        assert str(head.agreement) == "no held-out text to measure the agreement on"
        with safe_open(str(head.path), framework="np") as file:
            history = json.loads(file.metadata()["card"])["history"]
        assert len(history) > 10
        tensors = load_head(head.path)[1]
        for name, value in latest[head.name].items():
            np.testing.assert_array_equal(tensors[name], value.numpy())
