"""
Layers of heads as OpenVINO graphs. They have the patterns that OpenVINO's transformations recognise, which fuse norms
and rotary positions and turn the attention into a paged attention.
"""

from collections.abc import Mapping

import numpy as np
from openvino import Node, PartialShape
from openvino import opset13 as ops
from openvino.op import assign, read_value
from openvino.op.util import Variable, VariableInfo

from .config import DecoderHeadConfig


class Weights:
    """
    A head's tensors as constants of a graph.

    Args:
        tensors (`Mapping[str, np.ndarray]`): float32 tensors by name.
        int8 (`bool`): whether matrices are stored in symmetric 8 bits, with one scale per row.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], int8: bool):
        self.tensors = tensors
        self.int8 = int8

    def vector(self, name: str) -> Node:
        """A weight `[size]`, to be multiplied with `[batch, length, size]`."""
        return ops.constant(np.ascontiguousarray(self.tensors[name][None, None], np.float32), name=name)

    def matrix(self, name: str) -> Node:
        """A weight `[rows, columns]`."""
        values = self.tensors[name]
        if not self.int8:
            return ops.constant(np.ascontiguousarray(values, np.float32), name=name)
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / 127.0
        stored = ops.constant(np.rint(values / scale).astype(np.int8), name=name)
        return ops.multiply(ops.convert(stored, "f32"), ops.constant(scale.astype(np.float32)), name=f"{name}/scaled")


def linear(x: Node, weights: Weights, name: str) -> Node:
    """`x @ weight.T`."""
    return ops.matmul(x, weights.matrix(name), False, True, name=name.removesuffix(".weight"))


def rms_norm(x: Node, weights: Weights, name: str, eps: float) -> Node:
    """`x * rsqrt(mean(x^2) + eps) * weight`."""
    square = ops.power(x, _scalar(2.0, 3))
    mean = ops.reduce_mean(square, ops.constant(np.array([-1])), keep_dims=True)
    factor = ops.divide(_scalar(1.0, 3), ops.sqrt(ops.add(mean, _scalar(eps, 3))))
    return ops.multiply(weights.vector(name), ops.multiply(x, factor), name=name.removesuffix(".weight"))


def transformer_block(
    x: Node, position_ids: Node, beam_idx: Node, weights: Weights, config: DecoderHeadConfig
) -> tuple[Node, list[Node]]:
    """
    A Llama block with its KV cache as state.

    Args:
        x (`openvino.Node`): hidden states, `[batch, length, hidden_size]`.
        position_ids (`openvino.Node`): positions of the tokens, int64 `[batch, length]`.
        beam_idx (`openvino.Node`): row of the state that each row continues, int32 `[batch]`.
        weights ([`Weights`]): weights of the head.
        config ([`DecoderHeadConfig`]): configuration of the head.

    Returns:
        `tuple`: the block's output, shaped as `x`, and the two nodes that write the state.
    """
    y = rms_norm(x, weights, "block.input_norm.weight", config.norm_eps)
    cos, sin = _rotations(position_ids, config)
    queries = _rotate(_heads(linear(y, weights, "block.q.weight"), config.num_attention_heads, config), cos, sin)
    keys = _rotate(_heads(linear(y, weights, "block.k.weight"), config.num_key_value_heads, config), cos, sin)
    values = _heads(linear(y, weights, "block.v.weight"), config.num_key_value_heads, config)
    batch = ops.gather(ops.shape_of(x), _ints(0), _int(0))
    past, keys, keep_keys = _cached(keys, "past_key_values.0.keypresent.0.key", batch, beam_idx, config)
    _, values, keep_values = _cached(values, "past_key_values.0.valuepresent.0.value", batch, beam_idx, config)
    attended = ops.scaled_dot_product_attention(
        queries,
        _repeated(keys, config),
        _repeated(values, config),
        _causal_mask(past, x),
        np.float32(config.head_dim**-0.5),
        name="block.attention",
    )
    rows = ops.transpose(attended, _ints(0, 2, 1, 3))
    rows = ops.reshape(rows, _ints(0, 0, config.num_attention_heads * config.head_dim), special_zero=True)
    x = ops.add(x, linear(rows, weights, "block.o.weight"))
    y = rms_norm(x, weights, "block.post_norm.weight", config.norm_eps)
    gated = ops.multiply(ops.swish(linear(y, weights, "block.gate.weight")), linear(y, weights, "block.up.weight"))
    return ops.add(x, linear(gated, weights, "block.down.weight")), [keep_keys, keep_values]


def _heads(x: Node, count: int, config: DecoderHeadConfig) -> Node:
    """`[batch, length, count * head_dim]` to `[batch, count, length, head_dim]`."""
    split = ops.reshape(x, _ints(0, 0, count, config.head_dim), special_zero=True)
    return ops.transpose(split, _ints(0, 2, 1, 3))


def _rotations(position_ids: Node, config: DecoderHeadConfig) -> tuple[Node, Node]:
    """Cosine and sine of the rotary positions, `[batch, 1, length, head_dim]`."""
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim
    frequencies = (config.rope_theta**-exponents).astype(np.float32)
    positions = ops.convert(ops.unsqueeze(position_ids, _int(1)), "f32")
    angles = ops.matmul(ops.constant(frequencies[None, :, None]), positions, False, False)
    angles = ops.transpose(angles, _ints(0, 2, 1))
    angles = ops.concat([angles, angles], -1)
    return ops.unsqueeze(ops.cos(angles), _int(1)), ops.unsqueeze(ops.sin(angles), _int(1))


def _rotate(x: Node, cos: Node, sin: Node) -> Node:
    half = x.get_output_partial_shape(0)[-1].get_length() // 2
    second = ops.slice(x, _ints(half), _ints(2**63 - 1), _ints(1), _ints(3))
    first = ops.slice(x, _ints(0), _ints(half), _ints(1), _ints(3))
    turned = ops.concat([ops.multiply(second, _scalar(-1.0, 4)), first], -1)
    return ops.add(ops.multiply(x, cos), ops.multiply(turned, sin))


def _cached(new: Node, name: str, batch: Node, beam_idx: Node, config: DecoderHeadConfig) -> tuple[Node, Node, Node]:
    """The keys or values so far followed by the new ones, and the node that keeps them as state."""
    heads, size = config.num_key_value_heads, config.head_dim
    info = VariableInfo()
    info.variable_id, info.data_type = name, new.get_output_element_type(0)
    info.data_shape = PartialShape([-1, heads, -1, size])
    variable = Variable(info)
    empty = ops.broadcast(_scalar(0.0, 0), ops.concat([batch, _ints(heads), _ints(0), _ints(size)], 0))
    past = ops.gather(read_value(empty, variable), beam_idx, _int(0))
    present = ops.concat([past, new], -2)
    return past, present, assign(present, variable)


def _repeated(x: Node, config: DecoderHeadConfig) -> Node:
    """Keys or values, repeated for each query head."""
    if config.num_attention_heads == config.num_key_value_heads:
        return x
    heads, size = config.num_key_value_heads, config.head_dim
    shape = ops.shape_of(x)
    repeats = _ints(config.num_attention_heads // heads)
    target = ops.concat([ops.gather(shape, _ints(0, 1), _int(0)), repeats, ops.gather(shape, _ints(2, 3), _int(0))], 0)
    repeated = ops.broadcast(ops.unsqueeze(x, _int(2)), target, "BIDIRECTIONAL")
    return ops.reshape(repeated, _ints(0, config.num_attention_heads, -1, size), special_zero=True)


def _causal_mask(past: Node, x: Node) -> Node:
    """float32 `[1, 1, length, past + length]`: 0 where a row may attend, the lowest number elsewhere."""
    seen = ops.gather(ops.shape_of(past), _int(2), _int(0))
    total = ops.add(seen, ops.gather(ops.shape_of(x), _int(1), _int(0)))
    columns = ops.range(_int(0), total, _int(1), "i64")
    rows = ops.unsqueeze(ops.range(seen, total, _int(1), "i64"), _int(1))
    allowed = ops.less_equal(ops.unsqueeze(columns, _int(0)), rows)
    mask = ops.select(allowed, _scalar(0.0, 0), _scalar(np.finfo(np.float32).min, 0))
    return ops.unsqueeze(mask, _ints(0, 1))


def _scalar(value: float, rank: int) -> Node:
    return ops.constant(np.full([1] * rank, value, np.float32))


def _int(value: int) -> Node:
    return ops.constant(np.int64(value))


def _ints(*values: int) -> Node:
    return ops.constant(np.array(values, np.int64))
