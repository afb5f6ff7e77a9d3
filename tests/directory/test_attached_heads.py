"""Heads beside a model: attached, loaded, used, saved; and what is not loaded."""

import json
import shutil
from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
import torch

from optimum_dynexec import DynExecConfig, DynExecModelForCausalLM, export_dynexec
from optimum_dynexec.directory.attached_heads import attach_heads
from optimum_dynexec.directory.hashes import hash_model
from optimum_dynexec.heads.ir import build_head_ir
from optimum_dynexec.heads.storage import save_head
from optimum_dynexec.heads.tensors import tensor_shapes
from tests.heads.reference import random_head
from tests.tiny_models import TEXT, build_tokenizer


HASH = "sha256:" + "0b" * 32
# Of the tiny Llama.
BACKBONE = {"hidden_size": 64, "vocab_size": len(build_tokenizer())}
CARD = {"backbone_hash": HASH, "agreement": {"first": 0.5}}


def save(directory, kind, *, card=CARD, name=None, words=50, seed=0, **options):
    config, tensors, _ = random_head(kind, words=words, seed=seed, **{**BACKBONE, **options})
    directory.mkdir(exist_ok=True)
    save_head(config, tensors, directory / f"{name or config.name}.safetensors", card=json.dumps(card))
    return directory


@pytest.fixture
def heads(tmp_path):
    save(tmp_path / "heads", "draft")
    return save(tmp_path / "heads", "block", layer=1)


@pytest.fixture
def exported(tiny_export, tmp_path):
    """A copy of an export, which a test may change."""
    return lambda *export: shutil.copytree(tiny_export(*export), tmp_path / "-".join(export))


def load(directory, **options):
    return DynExecModelForCausalLM.from_pretrained(directory, precision="exact", **options)


def prompt(**arguments):
    ids = build_tokenizer()(TEXT[0], return_tensors="pt", return_token_type_ids=False)
    return {**ids, "max_new_tokens": 20, "do_sample": False, **arguments}


@pytest.mark.parametrize("weight_format", ["fp32", "int8"])
def test_attached_heads_are_loaded_and_used(weight_format, exported, heads, tiny_model):
    directory = exported("llama")
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    config = attach_heads(directory, heads, weight_format=weight_format)
    assert config == DynExecConfig.from_pretrained(directory)
    assert config.exit_layers == [1]
    assert sorted(config.heads) == ["draft_head", "exit_head_1"]
    entry = config.heads["exit_head_1"]
    assert (entry.kind, entry.layer, entry.file) == ("block", 1, "openvino_exit_head_1.xml")
    assert (entry.trained_on, entry.attached_to, entry.metrics) == (HASH, config.model_hash, {"first": 0.5})
    new = {f"openvino_{name}.{suffix}" for name in config.heads for suffix in ("xml", "bin")}
    after = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert set(after) == set(before) | new
    assert [name for name in before if before[name] != after[name]] == ["dynexec_config.json"]

    model = load(directory)
    assert model.engine.draft_head.kind == "draft"
    assert model.engine.paged_model.num_segments == 1
    expected = tiny_model("llama").generate(**prompt(speculation="off"))
    for speculation in ("off", "draft_head", "auto", "exit_heads"):
        assert torch.equal(model.generate(**prompt(speculation=speculation)), expected)
    # The exits are cut when they are asked for.
    assert {layer: head.kind for layer, head in model.engine.exit_heads.items()} == {1: "block"}
    assert model.engine.paged_model.num_segments == 2


@pytest.mark.parametrize("export", [("llama", "int8"), ("llama", "int4")], ids="-".join)
def test_heads_of_another_export_of_the_same_model(export, exported, heads):
    directory = exported(*export)
    attach_heads(directory, heads)
    model = load(directory, exit_layers=[])
    # An exit that is not cut has no use for its head.
    assert model.engine.exit_heads == {}
    expected = model.generate(**prompt(speculation="off"))
    assert torch.equal(model.generate(**prompt(speculation="draft_head")), expected)


def test_heads_given_at_load_are_saved(tiny_export, heads, tmp_path, tiny_model):
    model = load(tiny_export("llama"), heads=heads)
    assert model.dynexec_config.exit_layers == [1]
    assert model.engine.draft_head is not None
    assert list(load(tiny_export("llama"), heads=heads, exit_layers=[1]).engine.exit_heads) == [1]
    assert load(tiny_export("llama"), heads=heads, exit_layers=[0]).engine.exit_heads == {}
    for _ in range(2):
        # The second time over what the heads are mapped from.
        model.save_pretrained(tmp_path / "saved")
        model = load(tmp_path / "saved")
        assert sorted(model.dynexec_config.heads) == ["draft_head", "exit_head_1"]
        assert model.dynexec_config.heads["draft_head"].trained_on == HASH
        assert torch.equal(
            model.generate(**prompt(speculation="draft_head")), tiny_model("llama").generate(**prompt())
        )
    # Exits that are not used are kept too.
    load(tmp_path / "saved", exit_layers=[], compile=False).save_pretrained(tmp_path / "again")
    assert sorted(DynExecConfig.from_pretrained(tmp_path / "again").heads) == ["draft_head", "exit_head_1"]


def test_export_with_heads_and_a_copy_of_it(tiny_hf, heads, tmp_path):
    config = export_dynexec(tiny_hf("llama"), tmp_path / "out", exit_layers=[0], heads=heads, weight_format="fp32")
    assert config.exit_layers == [0, 1]
    assert sorted(config.heads) == ["draft_head", "exit_head_1"]
    copy = export_dynexec(tmp_path / "out", tmp_path / "copy")
    assert copy == config
    assert export_dynexec(tmp_path / "out", tmp_path / "copy", exit_layers=[1]).exit_layers == [1]
    assert sorted(load(tmp_path / "copy").dynexec_config.heads) == ["draft_head", "exit_head_1"]
    with pytest.raises(ValueError, match="has no heads"):
        export_dynexec(tmp_path / "out", tmp_path / "copy", heads=tmp_path)
    assert DynExecConfig.from_pretrained(tmp_path / "copy").exit_layers == [1]


def test_heads_are_replaced_one_by_one(exported, heads):
    directory = exported("llama")
    first = attach_heads(directory, heads)
    save(heads, "draft", seed=7)
    second = attach_heads(directory, heads / "draft_head.safetensors")
    assert second.heads["exit_head_1"] == first.heads["exit_head_1"]
    assert second.heads["draft_head"].hash != first.heads["draft_head"].hash
    assert second.heads["draft_head"].hash == hash_model(directory, "openvino_draft_head")
    save(heads, "norm", layer=1)
    assert attach_heads(directory, heads / "exit_head_1.safetensors").heads["exit_head_1"].kind == "norm"


def test_a_head_with_an_unembedding_of_its_own(exported, tmp_path):
    save(tmp_path / "heads", "draft", shares_unembedding=False)
    directory = exported("llama")
    attach_heads(directory, tmp_path / "heads")
    assert load(directory).engine.draft_head.paged_model.vocab_size == 50


def cut_short(directory):
    path = directory / "openvino_draft_head.bin"
    path.write_bytes(path.read_bytes()[:-4])


def exchange(directory):
    for suffix in (".xml", ".bin"):
        (directory / f"openvino_exit_head_1{suffix}").replace(directory / f"openvino_draft_head{suffix}")


def edit_hash(directory):
    exchange(directory)
    path = directory / "dynexec_config.json"
    values = json.loads(path.read_text())
    del values["heads"]["exit_head_1"]
    values["heads"]["draft_head"]["hash"] = hash_model(directory, "openvino_draft_head")
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "openvino_draft_head.xml or its .bin file is not the one that was attached: attach the heads"),
        (lambda directory: (directory / "openvino_draft_head.bin").unlink(), "is missing: attach the heads"),
        (lambda directory: (directory / "openvino_exit_head_1.xml").unlink(), "is missing: attach the heads"),
        (exchange, "is not the one that was attached"),
        (edit_hash, "called 'draft_head', but it is of kind 'block'"),
    ],
)
def test_damaged_heads_are_not_loaded(damage, message, exported, heads):
    directory = exported("llama")
    attach_heads(directory, heads)
    damage(directory)
    with pytest.raises(ValueError, match=message):
        load(directory)


def put(directory, name, model):
    """A head's model in place of what is there, with its hash, as an attacker would do it."""
    # Its weights may be mapped from the very file that is replaced.
    ov.save_model(model, directory / "other.xml", compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        (directory / f"other{suffix}").replace(directory / f"openvino_{name}{suffix}")
    write_hash(directory, name)


def write_hash(directory, name):
    path = directory / "dynexec_config.json"
    values = json.loads(path.read_text())
    values["heads"][name]["hash"] = hash_model(directory, f"openvino_{name}")
    path.write_text(json.dumps(values))


def changed_bytes(directory, name, before: bytes, after: bytes):
    """Other weights in the file of a head, with its hash."""
    path = directory / f"openvino_{name}.bin"
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))
    write_hash(directory, name)


@pytest.mark.parametrize("name", ["draft_head", "exit_head_1"])
@pytest.mark.parametrize(
    ("token", "message"),
    [
        (140737488355478, "from 0 to .*, but they are from .* to 140737488355478"),
        (-1, "from 0 to"),
        ("twice", "49 diff"),
    ],
)
def test_words_that_are_no_tokens(name, token, message, exported, heads):
    directory = exported("llama")
    attach_heads(directory, heads)
    model = ov.Core().read_model(directory / f"openvino_{name}.xml")
    words = np.array(model.output("dynexec.token_ids").get_node().input_value(0).get_node().data)
    del model
    other = words.copy()
    other[3] = words[0] if token == "twice" else token
    changed_bytes(directory, name, words.tobytes(), other.tobytes())
    with pytest.raises(ValueError, match=f"openvino_{name}.xml cannot be used: .*{message}.*attach the heads"):
        load(directory, compile=False)


def of_kind(kind, **options):
    """The model of a random head."""
    config, tensors, unembedding = random_head(kind, **{"words": 50, **BACKBONE, **options})
    return build_head_ir(config, tensors, unembedding)


def edited(model, **fields):
    """A head that says something else of itself."""
    said = json.loads(model.get_rt_info(["dynexec", "head"]).astype(str))
    model.set_rt_info(json.dumps({**said, **fields}), ["dynexec", "head"])
    return model


def without_output(model, name):
    model.remove_result(model.output(name).get_node())
    return model


def as_int32(model):
    """Words in another type."""
    result = model.output("dynexec.token_ids").get_node()
    words = np.array(result.input_value(0).get_node().data, np.int32)
    result.input(0).replace_source_output(ov.opset13.constant(words).output(0))
    result.output(0).set_names({"dynexec.token_ids"})
    model.validate_nodes_and_infer_types()
    return model


def for_one_token(model):
    model.reshape(
        {
            value: [1, 1, *list(value.get_partial_shape())[2:]]
            for value in model.inputs
            if value.get_partial_shape().rank.get_length() == 3
        }
    )
    return model


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("draft_head", lambda: of_kind("draft", vocab_size=9999), "vocabulary of 9999"),
        ("draft_head", lambda: of_kind("draft", hidden_size=32), "hidden states of 32"),
        ("draft_head", lambda: of_kind("draft", feature_layers=(0, 2)), "reads layers"),
        ("draft_head", lambda: edited(of_kind("draft"), feature_layers=[0]), "`dynexec.hidden_states` must be"),
        ("draft_head", lambda: edited(of_kind("draft"), hidden_size="64"), "`hidden_size` must be of type int"),
        ("draft_head", lambda: edited(of_kind("draft"), vocab_size=2), "from 0 to 1"),
        (
            "draft_head",
            lambda: without_output(of_kind("draft"), "dynexec.last_hidden_states"),
            "must have the outputs",
        ),
        ("draft_head", lambda: without_output(of_kind("draft"), "dynexec.token_ids"), "no constant output"),
        ("draft_head", lambda: as_int32(of_kind("draft")), "int64, but it is of type int32"),
        ("draft_head", lambda: for_one_token(of_kind("draft")), "of type f32 and shape"),
        ("exit_head_1", lambda: of_kind("block", layer=0), "it is called 'exit_head_1'|kind"),
        ("exit_head_1", lambda: edited(of_kind("norm", layer=1), kind="block"), "must have the inputs"),
        ("exit_head_1", lambda: of_kind("block", layer=1, hidden_size=32), "hidden states of 32"),
        ("exit_head_1", lambda: ov.Model([], [], "x"), "is no head|cannot be used"),
    ],
)
def test_heads_that_are_not_what_they_say(name, make, message, exported, heads):
    """Whatever the hash says: what goes wrong at the first call is found at load."""
    directory = exported("llama")
    attach_heads(directory, heads)
    put(directory, name, make())
    with pytest.raises(ValueError, match=message) as error:
        load(directory, compile=False)
    assert "attach the heads" in str(error.value)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        (None, {"num_labels": 7}, "`num_labels` is 7"),
        ("token-classification", {"num_labels": 7}, "`num_labels` is 7"),
        ("question-answering", {"hidden_size": 8}, "`hidden_size` is 8"),
        (None, {"wrong": "output"}, "must have the outputs"),
        (None, {"said": {"num_labels": 5}}, "its output `logits` must be of type f32 and shape"),
        (None, {"said": {"certainty": True}}, "must have the outputs"),
        (None, {"said": {"pooling": "mean", "masked": True}}, "must have the inputs"),
    ],
)
def test_heads_of_encoders_that_are_not_what_they_say(task, change, message, tiny_encoder, tmp_path):
    from optimum_dynexec.directory.loading import read_export

    directory = shutil.copytree(tiny_encoder("bert", task), tmp_path / "model")
    head = read_export(directory)[2]["exit_head_0"]
    config, said = head.config, change.pop("said", None)
    if said is not None:
        model = edited(head.model, **said)
    elif change == {"wrong": "output"}:
        model = head.model
        model.outputs[0].get_node().output(0).set_names({"answers"})
        model.outputs[0].get_node().input_value(0).set_names({"answers"})
    else:
        config = replace(config, **change)
        shapes = tensor_shapes(config, 0)
        model = build_head_ir(config, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    put(directory, "exit_head_0", model)
    with pytest.raises(ValueError, match=message):
        read_export(directory)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: save(path, "draft", hidden_size=32), "hidden states of 32, but the model has .* 64"),
        (lambda path: save(path, "norm", vocab_size=999), "vocabulary of 999"),
        (lambda path: save(path, "norm", layer=2), "for layer 2, but the model with 3 layers has no such exit"),
        (lambda path: save(path, "draft", feature_layers=(0, 2)), r"reads layers \[0, 2\], which must all"),
        (lambda path: save(save(path, "draft"), "draft", name="b"), "two heads that are called draft_head"),
        (lambda path: save(path, "draft", card=[1]), "training card is not an object"),
        (lambda path: save(path, "draft", card={"backbone_hash": "x"}), "`trained_on` must be"),
        (lambda path: path.mkdir(), "has no heads"),
        (lambda path: path.write_bytes(b"x" * 100), "is not a head"),
    ],
)
def test_what_cannot_be_attached(make, message, exported, tmp_path):
    directory, path = exported("llama"), tmp_path / "heads"
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    make(path)
    with pytest.raises(ValueError, match=message):
        attach_heads(directory, path)
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before


def test_models_that_can_have_no_heads(exported, heads, tmp_path):
    with pytest.raises(ValueError, match="can have no heads, as its KV cache cannot be paged"):
        attach_heads(exported("gpt_neo"), heads)
    with pytest.raises(FileNotFoundError, match="it holds no model"):
        attach_heads(tmp_path, heads)


def test_words_are_mapped_to_tokens(exported, tmp_path):
    """A head that knows two tokens proposes no other."""
    config, tensors, _ = random_head("draft", words=2, **BACKBONE)
    (tmp_path / "heads").mkdir()
    tensors["token_ids"] = np.array([77, 55])
    save_head(config, tensors, tmp_path / "heads" / "a.safetensors")
    directory = exported("llama")
    attach_heads(directory, tmp_path / "heads")
    model = ov.Core().read_model(directory / "openvino_draft_head.xml")
    assert model.output("logits").get_partial_shape()[-1] == 2
    assert load(directory).engine.draft_head.token_ids == [77, 55]
