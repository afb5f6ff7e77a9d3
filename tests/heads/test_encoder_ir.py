"""Exit heads of encoders: their OpenVINO models compute what docs/encoder_internals.md says, here in numpy."""

from math import erf

import numpy as np
import openvino as ov
import pytest

from optimum_dynexec.heads import EncoderHeadConfig, load_head, save_head
from optimum_dynexec.heads.ir import build_head_ir, head_config
from optimum_dynexec.heads.tensors import tensor_shapes


RNG = np.random.default_rng(0)
D, LABELS = 6, 4
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])


def head(kind: str = "pooled", **options) -> EncoderHeadConfig:
    labels = {"span": 2, "features": D}.get(kind, LABELS)
    return EncoderHeadConfig(kind=kind, layer=1, hidden_size=D, num_labels=labels, **options)


def weights(config: EncoderHeadConfig) -> dict[str, np.ndarray]:
    return {name: RNG.standard_normal(size).astype(np.float32) for name, size in tensor_shapes(config, 0).items()}


def reference(config: EncoderHeadConfig, tensors: dict[str, np.ndarray], x: np.ndarray, mask: np.ndarray) -> dict:
    if config.kind == "pooled":
        if config.pooling == "cls":
            x = x[:, 0]
        elif config.masked:
            x = (x * mask[..., None]).sum(1) / np.maximum(mask.sum(1), 1)[:, None]
        else:
            x = x.mean({"tokens": 1, "nchw": (2, 3), "nhwc": (1, 2)}[config.layout])
    certainty = None
    if config.certainty:
        certainty = 1 / (1 + np.exp(-(x @ tensors["certainty.weight"].T + tensors["certainty.bias"])))
    if config.layer_norm:
        centred = x - x.mean(-1, keepdims=True)
        x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config.norm_eps)
        x = x * tensors["norm.weight"] + tensors["norm.bias"]
    if config.dense_size:
        x = x @ tensors["dense.weight"].T + tensors["dense.bias"]
        x = {
            "tanh": np.tanh,
            "relu": lambda v: np.maximum(v, 0),
            "gelu": lambda v: v * 0.5 * (1 + np.vectorize(erf)(v / np.sqrt(2))),
        }[config.activation](x)
    y = x @ tensors["out.weight"].T + tensors["out.bias"]
    if config.kind == "span":
        return {"start_logits": y[..., 0], "end_logits": y[..., 1]}
    found = {"last_hidden_state" if config.kind == "features" else "logits": y}
    return found if certainty is None else {**found, "dynexec.certainty": certainty}


def run(config: EncoderHeadConfig, model: ov.Model, x: np.ndarray) -> dict[str, np.ndarray]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    feed = {"dynexec.hidden_states": x, **({"attention_mask": MASK} if config.masked else {})}
    found = compiled(feed)
    return {value.get_any_name(): found[value] for value in compiled.outputs}


@pytest.mark.parametrize(
    "config",
    [
        head(),
        head(dense_size=D),
        head(dense_size=3, activation="relu", layer_norm=True, certainty=True),
        head(dense_size=9, activation="gelu", pooling="mean", masked=True, certainty=True),
        head(pooling="mean"),
        head(pooling="mean", layout="nchw", layer_norm=True),
        head(pooling="mean", layout="nhwc"),
        head("token"),
        head("token", layer_norm=True, dense_size=5),
        head("span"),
        head("features"),
        head("features", layer_norm=True),
    ],
    ids=repr,
)
def test_computes_what_it_says(config, tmp_path):
    shape = {"tokens": (3, 5, D), "nchw": (3, D, 2, 4), "nhwc": (3, 2, 4, D)}[config.layout]
    x = RNG.standard_normal(shape).astype(np.float32)
    tensors = weights(config)
    save_head(config, tensors, tmp_path / "head.safetensors")
    loaded, stored = load_head(tmp_path / "head.safetensors")
    assert loaded == config
    model = build_head_ir(loaded, stored)
    assert head_config(model) == config
    ov.save_model(model, tmp_path / "head.xml", compress_to_fp16=False)
    model = ov.Core().read_model(tmp_path / "head.xml")
    assert head_config(model) == config
    expected = reference(config, tensors, x, MASK)
    found = run(config, model, x)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4)


def test_8_bits_are_close():
    config = head(dense_size=D)
    x, tensors = RNG.standard_normal((3, 5, D)).astype(np.float32), weights(config)
    found = run(config, build_head_ir(config, tensors, weight_format="int8"), x)["logits"]
    expected = reference(config, tensors, x, MASK)["logits"]
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_labels": 0}, "`num_labels` must be positive"),
        ({"pooling": "max"}, "`pooling` must be one of"),
        ({"layout": "hwc"}, "`layout` must be one of"),
        ({"activation": "sine"}, "`activation` must be one of"),
        ({"dense_size": -1}, "`dense_size` must be 0 or more"),
        ({"layout": "nchw"}, "`pooling` must be 'mean'"),
        ({"masked": True}, "`masked` is only for"),
        ({"kind": "token", "certainty": True}, "`certainty` is only for"),
        ({"kind": "token", "layout": "nchw"}, "`layout` must be 'tokens'"),
        ({"kind": "span", "num_labels": 3}, "`num_labels` must be 2"),
        ({"kind": "features", "num_labels": 3}, "`num_labels` must be 6"),
        ({"layer": None}, "`layer` must be given"),
    ],
)
def test_what_is_not_accepted_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        EncoderHeadConfig(**{"kind": "pooled", "layer": 0, "hidden_size": D, "num_labels": LABELS, **options})


def test_a_tensor_too_few():
    config = head(dense_size=3)
    tensors = weights(config)
    del tensors["dense.bias"]
    with pytest.raises(ValueError, match=r"`dense.bias` of a head of kind 'pooled' must be \(3,\), but it is absent"):
        build_head_ir(config, tensors)
