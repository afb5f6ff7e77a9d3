"""Heads on disk."""

import numpy as np
import pytest

from optimum_dynexec.heads import DecoderHeadConfig, load_head, save_head


CONFIG = DecoderHeadConfig("adapter", 2, 8, 20, rank=3)


def tensors() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "token_ids": np.array([3, 5, 7, 19]),
        "norm.weight": generator.normal(size=8).astype(np.float32),
        "down.weight": generator.normal(size=(3, 8)).astype(np.float32),
        "up.weight": generator.normal(size=(8, 3)).astype(np.float32),
    }


@pytest.mark.parametrize(("weight_format", "error"), [("fp32", 0.0), ("fp16", 1e-3), ("int8", 2e-2)])
def test_a_head_comes_back_as_it_was(tmp_path, weight_format: str, error: float):
    path = tmp_path / "exit_head_2.safetensors"
    save_head(CONFIG, tensors(), path, weight_format=weight_format)
    config, loaded = load_head(path)
    assert config == CONFIG
    assert set(loaded) == set(tensors())
    assert loaded["token_ids"].dtype == np.int64
    for name, values in tensors().items():
        assert np.abs(loaded[name] - values).max() <= error * np.abs(values).max()
    assert weight_format == "int8" or loaded["norm.weight"].dtype == np.float32


def test_int8_keeps_each_row_to_half_a_step(tmp_path):
    save_head(CONFIG, tensors(), tmp_path / "h.safetensors", weight_format="int8")
    _, loaded = load_head(tmp_path / "h.safetensors")
    for name in ("down.weight", "up.weight"):
        step = np.abs(tensors()[name]).max(axis=1, keepdims=True) / 127
        assert (np.abs(loaded[name] - tensors()[name]) <= step / 2 + 1e-7).all()


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x10\0\0\0\0\0\0\0{}              "])
def test_what_is_no_head_is_said_to_be_none(tmp_path, content: bytes):
    path = tmp_path / "h.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"h\.safetensors is not a head"):
        load_head(path)


def test_words_outside_the_vocabulary_are_refused(tmp_path):
    save_head(CONFIG, {**tensors(), "token_ids": np.array([3, 20])}, tmp_path / "h.safetensors")
    with pytest.raises(ValueError, match="from 0 to 19"):
        load_head(tmp_path / "h.safetensors")
    save_head(CONFIG, {**tensors(), "token_ids": np.array([3, 3])}, tmp_path / "h.safetensors")
    with pytest.raises(ValueError, match="distinct token ids"):
        load_head(tmp_path / "h.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "tree"}, "`kind` must be one of"),
        ({"layer": None}, "`layer` must be given"),
        ({"rank": 0}, "`rank` must be positive"),
        ({"kind": "block"}, "`num_attention_heads` must be positive"),
        ({"format_version": 99}, "`format_version` is 99"),
    ],
)
def test_wrong_configurations_are_named(changes, message: str):
    values = {"kind": "adapter", "layer": 2, "hidden_size": 8, "vocab_size": 20, "rank": 3, **changes}
    with pytest.raises(ValueError, match=message):
        DecoderHeadConfig(**values)


@pytest.mark.parametrize("layers", [(3, 1), (1, 1), (-1, 2), (0.5,)])
def test_feature_layers_are_ascending_layers_of_a_draft_head(layers):
    sizes = {"hidden_size": 8, "vocab_size": 20, "num_attention_heads": 2, "num_key_value_heads": 1}
    block = {**sizes, "head_dim": 4, "intermediate_size": 16}
    config = DecoderHeadConfig("draft", None, **block, feature_layers=[0, 3])
    assert DecoderHeadConfig.from_json(config.to_json()) == config
    assert (config.layers_read, config.feature_size) == ([0, 3], 24)
    with pytest.raises(ValueError, match="`feature_layers` must be"):
        DecoderHeadConfig("draft", None, **block, feature_layers=layers)
    with pytest.raises(ValueError, match="of a head of kind 'draft'"):
        DecoderHeadConfig("block", 5, **block, feature_layers=(0, 3))
