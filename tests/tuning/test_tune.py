"""`tune` on tiny models: what it writes, and that a model starts from it unless the caller says otherwise."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM, DynExecModelForSequenceClassification
from optimum_dynexec.directory import attach_heads
from optimum_dynexec.directory.errors import TuningError
from optimum_dynexec.directory.tuning import Tuning, load_tuning
from optimum_dynexec.early_exit import EarlyExitConfig
from optimum_dynexec.heads import save_head
from optimum_dynexec.tuning import TuningArguments, tune
from optimum_dynexec.tuning.halving import Trial
from tests.heads.reference import random_head
from tests.tiny_models import TEXT, build_tokenizer


IDS = torch.tensor([[5, 6, 7, 5, 6]])
LENGTH = {"min_new_tokens": 10, "max_new_tokens": 10, "do_sample": False}
QUICK = TuningArguments(max_samples=2, max_new_tokens=6, threads=(1,), precisions=("fast", "exact"), time_limit=10)


@pytest.fixture(scope="module")
def decoder(tiny_export, prompts, tmp_path_factory):
    base = tmp_path_factory.mktemp("tuned")
    directory = shutil.copytree(tiny_export("llama"), base / "model")
    (base / "heads").mkdir()
    for kind in ("norm", "draft"):
        shape, tensors, _ = random_head(kind, hidden_size=64, vocab_size=len(build_tokenizer()), words=200, rank=0)
        save_head(shape, tensors, base / "heads" / f"{shape.name}.safetensors")
    attach_heads(directory, base / "heads")
    found = tune(directory, data=[prompts], arguments=QUICK, progress=False)
    return directory, found


def changed(source, target, **changes):
    """A copy of a tuned model that says it was tuned to something else."""
    directory = shutil.copytree(source, target)
    config = DynExecConfig.from_pretrained(directory)
    config.tuning = {**config.tuning, **changes}
    config.save_pretrained(directory)
    return directory


def test_what_is_tried_and_written(decoder):
    directory, found = decoder
    names = [row["name"] for row in found.table]
    assert {"off", "auto", "suffix", "draft_head", "draft_head 3", "exit_heads 1"} <= set(names)
    searched = [name for name in names if not name.startswith("again: ")]
    assert sum("exact" in name for name in searched) == sum(", fast" in name for name in searched) == 2
    assert all(row["seconds"] > 0 for row in found.table)
    # What runs without tuning is compared once more with what leads, and with plain execution.
    again = [row for row in found.table if row["name"].startswith("again: ")]
    assert again[0]["name"] == "again: auto"
    assert [row["outcome"] == "chosen" for row in again].count(True) == 1
    chosen = next(row for row in again if row["outcome"] == "chosen")
    assert chosen["name"] == f"again: {found.best['name']}"
    assert (chosen is again[0]) == found.decision.startswith(("auto is kept", "nothing was faster"))
    assert found.rounds == chosen["runs"]
    assert found.samples == min(2, found.rounds)
    assert (found.speedup_interval is None) == (found.baseline["name"] == found.best["name"] or found.rounds < 6)
    assert load_tuning(directory) == found
    assert DynExecConfig.from_pretrained(directory).tuning == json.loads(json.dumps(found.to_dict()))


def test_generate_starts_from_it(decoder, tmp_path):
    options = {
        "speculation": "draft_head",
        "num_assistant_tokens": 2,
        "num_assistant_tokens_schedule": "constant",
    }
    config = {"INFERENCE_NUM_THREADS": "1"}
    directory = changed(decoder[0], tmp_path / "model", options=options, ov_config=config, precision="exact")
    model = DynExecModelForCausalLM.from_pretrained(directory)
    assert model.ov_config["INFERENCE_NUM_THREADS"] == "1"
    assert model.ov_config["INFERENCE_PRECISION_HINT"] == "f32"
    expected = model.generate(IDS, speculation="off", **LENGTH)
    assert not model.last_stats.proposers

    def used(**arguments):
        assert torch.equal(model.generate(IDS, **LENGTH, **arguments), expected)
        return [proposer.name for proposer in model.last_stats.proposers]

    # The tuning before the default, which would look up too; the caller's arguments before the tuning.
    assert used() == ["draft_head"]
    assert max(k for k, n in enumerate(model.last_stats.accepted_histogram) if n) <= 2
    assert model.last_stats.proposed <= 2 * model.last_stats.verifications
    assert used(prompt_lookup_num_tokens=3) == ["prompt_lookup"]
    assert set(used(speculation="auto")) == {"suffix", "draft_head"}
    given = DynExecModelForCausalLM.from_pretrained(
        directory, precision="fast", ov_config={"INFERENCE_NUM_THREADS": "2"}, measure=False
    )
    assert given.ov_config["INFERENCE_NUM_THREADS"] == "2"
    assert "INFERENCE_PRECISION_HINT" not in given.ov_config
    without = DynExecModelForCausalLM.from_pretrained(directory, tuned=False)
    assert without.tuning is None
    assert "INFERENCE_NUM_THREADS" not in without.ov_config


@pytest.mark.parametrize(
    "options",
    [
        {"assistant_early_exit": 2, "num_assistant_tokens_schedule": "auto"},
        # As the mode was called in earlier versions.
        {"speculation": "early_exit"},
    ],
    ids=["by layers", "by a former name"],
)
def test_an_exit_that_was_tuned_to_drafts(options, decoder, tmp_path):
    directory = changed(decoder[0], tmp_path / "model", options=options, precision="exact")
    model = DynExecModelForCausalLM.from_pretrained(directory)
    plain = model.generate(IDS, speculation="off", **LENGTH)
    assert torch.equal(model.generate(IDS, **LENGTH), plain)
    assert len(model.engine.layers) == 2
    # Without that exit, there is nothing to draft with: as if it had not been tuned.
    whole = DynExecModelForCausalLM.from_pretrained(directory, exit_layers=[])
    assert torch.equal(whole.generate(IDS, **LENGTH), plain)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_hash": "sha256:" + "0" * 64}, "not the one that was tuned"),
        ({"head_hashes": {}}, "heads are not those"),
        ({"machine": {"device": "CPU", "name": "another", "cpus": 99}}, "was tuned on"),
        ({"machine": {"device": "GPU"}}, "was tuned on the device GPU"),
    ],
)
def test_stale(decoder, tmp_path, caplog, changes, reason):
    directory = changed(decoder[0], tmp_path / "model", **changes)
    with pytest.raises(TuningError, match=reason):
        load_tuning(directory)
    model = DynExecModelForCausalLM.from_pretrained(directory, compile=False)
    assert model.tuning is None
    assert reason in caplog.text


@pytest.mark.parametrize(("changes", "said"), [({"new_field": 1}, "unknown key"), ({"precision": "low"}, "'low'")])
def test_a_tuning_that_cannot_be_used_does_not_keep_the_model_from_loading(decoder, tmp_path, caplog, changes, said):
    directory = changed(decoder[0], tmp_path / "model", **changes)
    assert DynExecModelForCausalLM.from_pretrained(directory, compile=False).tuning is None
    assert said in caplog.text


def test_quantized_afterwards(decoder, tmp_path):
    from optimum.intel import OVWeightQuantizationConfig

    from optimum_dynexec.quantization import quantize_dynexec

    quantize_dynexec(decoder[0], tmp_path / "q", quantization_config=OVWeightQuantizationConfig(bits=8))
    with pytest.raises(TuningError, match="is not tuned"):
        load_tuning(tmp_path / "q")


# ---- classifiers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    words = " ".join(TEXT).split()
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(" ".join(words[i % 60 : i % 60 + 4 + i % 3]) for i in range(64)))
    return path


def test_classifier(tiny_encoder, texts, tmp_path):
    directory = shutil.copytree(tiny_encoder("bert"), tmp_path / "model")
    arguments = replace(QUICK, max_samples=4, max_loss=0.3, objective="throughput")
    found = tune(directory, data=[texts], arguments=arguments, progress=False)
    assert found.loss is not None
    assert found.loss <= 0.3
    # Half of them; the other half is what the choice is checked on.
    assert found.samples in (16, 32)
    assert {row["name"].partition(",")[0] for row in found.table} >= {"off", "max_prob 0.8", "margin 0.9"}
    # Random exits often say something else than the model: they are refused, and it is said why.
    assert any("loses" in row["outcome"] and "samples)" in row["outcome"] for row in found.table)
    assert [row["outcome"] for row in found.table].count("chosen") == 1
    if found.best["name"] != found.baseline["name"]:
        assert found.loss_samples == 32
        assert found.loss_interval[0] <= found.loss <= found.loss_interval[1] <= 0.3
    assert found.options["batch_size"] in (1, 4, 16)

    exit_ = {"criterion": "max_prob", "threshold": 0.0}
    other = changed(directory, tmp_path / "other", options={"early_exit": exit_, "batch_size": 4})
    inputs = build_tokenizer()(TEXT, return_tensors="pt", padding=True)
    model = DynExecModelForSequenceClassification.from_pretrained(other)
    expected = model(**inputs, early_exit=EarlyExitConfig(**exit_))
    assert torch.equal(model(**inputs, early_exit="tuned").logits, expected.logits)
    # Nothing leaves without being asked to, and `tuned` may mean that nothing does.
    assert "exit_layer" not in model(**inputs)
    plain = changed(directory, tmp_path / "plain", options={"early_exit": None, "batch_size": 1})
    model = DynExecModelForSequenceClassification.from_pretrained(plain, early_exit="tuned")
    assert "exit_layer" not in model(**inputs)
    untuned = DynExecModelForSequenceClassification.from_pretrained(tiny_encoder("bert"))
    with pytest.raises(TuningError, match="needs a model that was tuned"):
        untuned(**inputs, early_exit="tuned")


def test_a_choice_that_does_not_hold_is_taken_back(tiny_encoder, texts, tmp_path, monkeypatch):
    """The loss is checked on samples that nothing was chosen by: there, the winner is made to lose all."""
    from optimum_dynexec.tuning import encoder

    def loses_all(self, trial):
        return Trial(trial.name, trial.options, lost=32, judged=32)

    monkeypatch.setattr(encoder.Bench, "check", loses_all)
    directory = shutil.copytree(tiny_encoder("bert"), tmp_path / "model")
    arguments = replace(QUICK, max_samples=2, max_loss=0.5)
    lines = enumerate(texts.read_text().splitlines())
    (tmp_path / "labelled.jsonl").write_text(
        "\n".join(json.dumps({"text": text, "label": i % 2}) for i, text in lines)
    )
    found = tune(directory, data=[tmp_path / "labelled.jsonl"], arguments=arguments, progress=False)
    assert found.options["early_exit"] is None
    assert (found.loss, found.loss_samples) == (0.0, 0)
    assert found.decision == "nothing was faster than off"
    assert found.full_accuracy_interval[0] <= found.full_accuracy <= found.full_accuracy_interval[1]
    assert found.full_samples >= 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "speed"}, "`objective` must be one of"),
        ({"max_loss": 1.0}, "`max_loss` must be"),
        ({"precisions": ("low",)}, "`precisions` must be"),
        ({"threads": (1, 0)}, "`threads` must be numbers of at least 1"),
        ({"time_limit": 0}, "`time_limit` must be"),
    ],
)
def test_arguments(options, message):
    with pytest.raises(TuningError, match=message):
        TuningArguments(**options)


def test_errors(tiny_encoder, decoder, tmp_path):
    with pytest.raises(TuningError, match="give inputs"):
        tune(decoder[0], data=[])
    (tmp_path / "few.txt").write_text("one\ntwo")
    with pytest.raises(TuningError, match="at least 32 samples"):
        tune(tiny_encoder("bert"), data=[tmp_path / "few.txt"])
    with pytest.raises(TuningError, match="can be tuned, but this model is for"):
        tune(tiny_encoder("bert", "feature-extraction"), data=[tmp_path / "few.txt"])
    with pytest.raises(TuningError, match="unknown key 'x'"):
        Tuning.from_dict({"x": 1})
