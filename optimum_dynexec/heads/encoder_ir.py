"""The OpenVINO model of an exit head of an encoder. A kind is a function and a line in the registry."""

from collections.abc import Callable, Mapping

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset13 as ops

from ..native import _C
from .config import EncoderHeadConfig
from .ir_layers import Weights, linear


HIDDEN_STATES = _C.HIDDEN_STATES
ATTENTION_MASK = "attention_mask"
CERTAINTY = _C.CERTAINTY
ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    "tanh": ops.tanh,
    "relu": ops.relu,
    "gelu": lambda x: ops.gelu(x, "erf"),
}
# Axes of the positions, after the axis of the samples.
PLACES = {"tokens": [1], "nchw": [2, 3], "nhwc": [1, 2]}


def build_encoder_head_ir(
    config: EncoderHeadConfig, tensors: Mapping[str, np.ndarray], *, weight_format: str = "fp32"
) -> ov.Model:
    """
    Makes the OpenVINO model of an exit head of an encoder. docs/encoder_internals.md has the formulas.

    The inputs are `dynexec.hidden_states` float32, in the layout of `config`, and for a `masked` head also
    `attention_mask` int64 `[batch, length]`. The outputs have the names of the model's outputs: `logits`,
    `start_logits` and `end_logits`, or `last_hidden_state`; with `certainty`, `dynexec.certainty` float32 `[batch, 1]`
    too.

    Args:
        config ([`EncoderHeadConfig`]): configuration of the head.
        tensors (`Mapping[str, np.ndarray]`): checked tensors of the head by name.
        weight_format (`str`, *optional*, defaults to `"fp32"`): format of the weights: `"fp32"` or `"int8"`.
    """
    weights = Weights(tensors, weight_format == "int8")
    d = config.hidden_size
    shape = {"tokens": [-1, -1, d], "nchw": [-1, d, -1, -1], "nhwc": [-1, -1, -1, d]}[config.layout]
    hidden_states = ops.parameter(shape, np.float32, name=HIDDEN_STATES)
    inputs = [_named(hidden_states, HIDDEN_STATES)]
    x: Node = hidden_states
    if config.kind == "pooled":
        mask = None
        if config.masked:
            mask = ops.parameter([-1, -1], np.int64, name=ATTENTION_MASK)
            inputs.append(_named(mask, ATTENTION_MASK))
        x = pool(hidden_states, mask, config)
    y = x
    if config.layer_norm:
        normed = ops.mvn(y, ops.constant([-1], np.int64), True, config.norm_eps, "inside_sqrt")
        y = ops.add(ops.multiply(normed, _vector(weights, "norm.weight")), _vector(weights, "norm.bias"))
    if config.dense_size:
        y = ACTIVATIONS[config.activation](_affine(y, weights, "dense"))
    y = _affine(y, weights, "out")
    outputs = OUTPUTS[config.kind](y)
    if config.certainty:
        outputs[CERTAINTY] = ops.sigmoid(_affine(x, weights, "certainty"))
    results = [_named(ops.result(node), name) for name, node in outputs.items()]
    return ov.Model(results, inputs, config.name)


def pool(hidden_states: Node, mask: Node | None, config: EncoderHeadConfig) -> Node:
    """
    Pools the hidden states of each sample to one vector.

    Args:
        hidden_states (`openvino.Node`): float32, in the layout of `config`.
        mask (`openvino.Node`, *optional*):
            attention mask, int64 `[batch, length]`. A sample without tokens gets zeros.
        config ([`EncoderHeadConfig`]): configuration of the head.

    Returns:
        `openvino.Node`: float32 `[batch, hidden_size]`.
    """
    if config.pooling == "cls":
        return ops.gather(hidden_states, ops.constant(0, np.int64), ops.constant(1, np.int64))
    if mask is None:
        return ops.reduce_mean(hidden_states, ops.constant(PLACES[config.layout], np.int64), keep_dims=False)
    axis = ops.constant(1, np.int64)
    weight = ops.unsqueeze(ops.convert(mask, "f32"), ops.constant(2, np.int64))
    total = ops.reduce_sum(ops.multiply(hidden_states, weight), axis, keep_dims=False)
    number = ops.reduce_sum(weight, axis, keep_dims=False)
    return ops.divide(total, ops.maximum(number, ops.constant(np.float32(1.0))))


def _logits(y: Node) -> dict[str, Node]:
    return {"logits": y}


def _span(y: Node) -> dict[str, Node]:
    axis = ops.constant(2, np.int64)
    return {
        name: ops.gather(y, ops.constant(index, np.int64), axis)
        for index, name in enumerate(("start_logits", "end_logits"))
    }


def _features(y: Node) -> dict[str, Node]:
    return {"last_hidden_state": y}


OUTPUTS: dict[str, Callable[[Node], dict[str, Node]]] = {
    "pooled": _logits,
    "token": _logits,
    "span": _span,
    "features": _features,
}


def _affine(x: Node, weights: Weights, name: str) -> Node:
    return ops.add(linear(x, weights, f"{name}.weight"), _vector(weights, f"{name}.bias"))


def _vector(weights: Weights, name: str) -> Node:
    return ops.constant(np.ascontiguousarray(weights.tensors[name], np.float32), name=name)


def _named(node: Node, name: str) -> Node:
    node.output(0).set_names({name})
    return node
