"""The floating-point operations until each exit, counted in the graph of a model."""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
import openvino as ov

from ..directory.errors import CalibrationError


def exit_costs(
    model: ov.Model,
    boundaries: Mapping[int, str],
    heads: Mapping[int, ov.Model],
    shapes: Mapping[str, Sequence[int]],
) -> np.ndarray:
    """
    The floating-point operations until each exit, as shares of those of the full model without heads.

    Matrix products, convolutions and attention are counted, with two operations for each product of two numbers. What
    is left out (norms, activations, sums) is a few per cent and similar in all layers. The cost of an exit includes
    that of the heads before it, which run first. The last entry, for the full model with all heads, is therefore above
    1.

    Args:
        model (`openvino.Model`): whole model, which is not changed.
        boundaries (`Mapping[int, str]`): friendly name of the node after each layer.
        heads (`Mapping[int, openvino.Model]`): exit heads by layer.
        shapes (`Mapping[str, Sequence[int]]`): shapes of the model's inputs for one sample.

    Returns:
        `np.ndarray` float64 `[exits + 1]`: the shares, in order of depth.

    Raises:
        [`~directory.errors.CalibrationError`]: if a shape in the graph depends on more than the shapes of the inputs.
    """
    model = model.clone()
    model.reshape({value: list(shapes[value.get_any_name()]) for value in model.inputs})
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    full = sum(map(node_flops, model.get_ops()))
    costs, asked = [], 0.0
    for layer in sorted(heads):
        boundary = nodes[boundaries[layer]]
        head = heads[layer].clone()
        state = boundary.output(0).get_partial_shape()
        head.reshape(
            {
                value: state if value.get_any_name() not in shapes else list(shapes[value.get_any_name()])
                for value in head.inputs
            }
        )
        asked += sum(map(node_flops, head.get_ops()))
        costs.append(sum(map(node_flops, _ancestors(boundary))) + asked)
    return np.array([*costs, full + asked], np.float64) / full


def node_flops(node: ov.Node) -> float:
    """
    The floating-point operations of one node; 0 for a type that is not counted.

    Raises:
        [`~directory.errors.CalibrationError`]: if the shape of one of its inputs is unknown.
    """
    count = _COUNTS.get(node.get_type_name())
    if count is None:
        return 0.0
    values = [*node.outputs(), *(node.input_value(index) for index in range(node.get_input_size()))]
    if any(value.get_partial_shape().is_dynamic for value in values[:3]):
        raise CalibrationError(
            f"the operations of {node.get_friendly_name()!r} cannot be counted: its shapes depend on more than the"
            " shapes"
            " of the inputs"
        )
    return 2.0 * count(node)


def _matmul(node: ov.Node) -> int:
    inner = node.input_value(0).get_shape()[-2 if node.get_attributes()["transpose_a"] else -1]
    return prod(node.output(0).get_shape()) * inner


def _convolution(node: ov.Node) -> int:
    return prod(node.output(0).get_shape()) * prod(node.input_value(1).get_shape()[1:])


def _group_convolution(node: ov.Node) -> int:
    return prod(node.output(0).get_shape()) * prod(node.input_value(1).get_shape()[2:])


def _attention(node: ov.Node) -> int:
    *batch, queries, width = node.input_value(0).get_shape()
    keys = node.input_value(1).get_shape()[-2]
    return prod(batch) * queries * keys * (width + node.output(0).get_shape()[-1])


_COUNTS: dict[str, Callable[[ov.Node], int]] = {
    "MatMul": _matmul,
    "Convolution": _convolution,
    "GroupConvolution": _group_convolution,
    "ScaledDotProductAttention": _attention,
}


def _ancestors(node: ov.Node) -> list[ov.Node]:
    """A node and all nodes that it depends on, each once."""
    found: dict[str, ov.Node] = {}
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current.get_name() not in found:
            found[current.get_name()] = current
            waiting += [current.input_value(index).get_node() for index in range(current.get_input_size())]
    return list(found.values())
