import json

import pytest

from optimum_dynexec import DynExecConfig
from optimum_dynexec.directory.config import DYNEXEC_CONFIG_NAME, FORMAT_VERSION, AttachedHead


HASH = "sha256:" + "0a" * 32


def full_config() -> DynExecConfig:
    return DynExecConfig(
        exit_layers=[1, 0],
        hidden_state_names={0: "a/Add", 1: "b/Add", 2: "c/Add"},
        pageable=False,
        pageable_reason="why",
        versions={"openvino": "2026.4.1"},
        model_hash=HASH,
        heads={
            "draft_head": AttachedHead("draft", None, "openvino_draft_head.xml", HASH, HASH, HASH, {"first": 0.8}),
            "exit_head_1": AttachedHead("block", 1, "openvino_exit_head_1.xml", HASH),
        },
    )


def test_round_trip(tmp_path):
    config = full_config()
    config.save_pretrained(tmp_path / "made")
    loaded = DynExecConfig.from_pretrained(tmp_path / "made")
    assert loaded == config
    assert loaded.exit_layers == [0, 1]
    assert list(loaded.hidden_state_names) == [0, 1, 2]
    assert [path.name for path in (tmp_path / "made").iterdir()] == [DYNEXEC_CONFIG_NAME]


def test_defaults_are_valid():
    assert DynExecConfig.from_dict({}) == DynExecConfig()


def test_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="it holds no model"):
        DynExecConfig.from_pretrained(tmp_path)


def test_newer_format_is_refused():
    with pytest.raises(ValueError, match=rf"`format_version` is {FORMAT_VERSION + 1}.*up to {FORMAT_VERSION}.*update"):
        DynExecConfig.from_dict({"format_version": FORMAT_VERSION + 1, "criterion": "max_prob"})


def test_unknown_key_is_named():
    with pytest.raises(ValueError, match=r"unknown key 'criterion' \(value 'max_prob'\); accepted are .*exit_layers"):
        DynExecConfig.from_dict({"criterion": "max_prob"})


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("format_version", "1", "an integer"),
        ("format_version", 0, "an integer from 1"),
        ("format_version", True, "an integer"),
        ("exit_layers", 9, "a list of integers"),
        ("exit_layers", [True], "a list of integers"),
        ("exit_layers", [-1], "a list of integers from 0"),
        ("exit_layers", [1.5], "a list of integers"),
        ("hidden_state_names", ["a"], "for each layer"),
        ("hidden_state_names", {"0": "a", "2": "b"}, "without a gap"),
        ("hidden_state_names", {"x": "a"}, "for each layer"),
        ("hidden_state_names", {"0": ""}, "the name of a node"),
        ("pageable", "yes", "true or false"),
        ("pageable_reason", 3, "a text or null"),
        ("versions", {"openvino": 2026}, "a version for each package"),
        ("versions", [], "a version for each package"),
        ("model_hash", "md5:00", "64 hexadecimal digits"),
        ("heads", [], "a head for each name"),
    ],
)
def test_error_names_key_value_and_what_is_accepted(key, value, accepted):
    with pytest.raises(ValueError, match=f"`{key}` must be .*{accepted}") as raised:
        DynExecConfig.from_dict({key: value})
    shown = {int(k) if k.isdigit() else k: v for k, v in value.items()} if isinstance(value, dict) else value
    assert repr(shown) in str(raised.value)


def test_exit_layers_are_checked_against_the_layers():
    names = {k: f"n{k}" for k in range(4)}
    assert DynExecConfig(exit_layers=[2], hidden_state_names=names).exit_layers == [2]
    with pytest.raises(ValueError, match="between 0 and 2, as the model has 4 layers .* 3 is among"):
        DynExecConfig(exit_layers=[0, 3], hidden_state_names=names)
    with pytest.raises(ValueError, match="must be empty"):
        DynExecConfig(exit_layers=[0])


def test_reason_belongs_to_what_cannot_be_paged():
    with pytest.raises(ValueError, match="pageable_reason"):
        DynExecConfig(pageable=False)
    with pytest.raises(ValueError, match="pageable_reason"):
        DynExecConfig(pageable_reason="why")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "tree"}, "`kind` must be one of .*'block'.*'tree'"),
        ({"kind": None}, "`kind` must be one of"),
        ({"layer": None}, "`layer` must be null exactly for the kind 'draft'"),
        ({"layer": "1"}, "`layer` must be an integer"),
        ({"layer": 0}, "must be called 'exit_head_0', not 'exit_head_1'"),
        ({"file": "../openvino_exit_head_1.xml"}, "`file` must be the name of an .xml file"),
        ({"file": "/tmp/a.xml"}, "`file` must be the name"),
        ({"hash": None}, "`hash` must be 'sha256:'"),
        ({"trained_on": "here"}, "`trained_on` must be"),
        ({"metrics": 3}, "`metrics` must be an object"),
        ({"training_texts": 3}, "`training_texts` must be a text"),
        ({"colour": 3}, "'colour' of a head is unknown or missing"),
    ],
)
def test_entries_of_heads_are_checked(change, message):
    values = full_config().to_dict()
    values["heads"]["exit_head_1"].update(change)
    with pytest.raises(ValueError, match=message):
        DynExecConfig.from_dict(values)


def test_heads_belong_to_layers_of_the_model():
    head = AttachedHead("norm", 2, "openvino_exit_head_2.xml", HASH)
    with pytest.raises(ValueError, match="has 'exit_head_2', but the model with 3 layers"):
        DynExecConfig(hidden_state_names={k: f"n{k}" for k in range(3)}, heads={"exit_head_2": head})
    # Exits may be chosen that are fewer than the heads.
    DynExecConfig(hidden_state_names={k: f"n{k}" for k in range(4)}, heads={"exit_head_2": head})
    with pytest.raises(ValueError, match="'hash' of a head is unknown or missing"):
        DynExecConfig.from_dict({"heads": {"draft_head": {"kind": "draft", "layer": None, "file": "a.xml"}}})
    with pytest.raises(ValueError, match="must be a JSON object"):
        DynExecConfig.from_dict({"heads": {"draft_head": "a.xml"}})


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"exit_layers": "x"}', "[" * 100000, b"\xff\xfe\x00"])
def test_bad_file_is_named(tmp_path, content):
    (tmp_path / DYNEXEC_CONFIG_NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=DYNEXEC_CONFIG_NAME):
        DynExecConfig.from_pretrained(tmp_path)


def test_file_is_readable_json(tmp_path):
    full_config().save_pretrained(tmp_path)
    assert json.loads((tmp_path / DYNEXEC_CONFIG_NAME).read_text())["hidden_state_names"]["1"] == "b/Add"
