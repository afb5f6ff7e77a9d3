"""Weights by rows: the constants of a weight and its decompression, of which each row is computed alone."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import openvino.opset13 as ops
from openvino import Node, Output


# Operations that may lie between a product and its weights.
DECOMPRESSION_TYPES = ("Convert", "Subtract", "Multiply", "Reshape")
ROW_AXIS = 0


def static_shape(value: Output) -> tuple[int, ...]:
    """The shape of an output; empty if it is not static."""
    return tuple(value.get_shape()) if value.get_partial_shape().is_static else ()


def _has_rows(node: Node, result: Node) -> bool:
    """Whether an input of `result` has one part for each row, instead of one value for all rows."""
    shape, target = static_shape(node.output(0)), static_shape(result.output(0))
    same_rank = len(shape) == len(target) or result.get_type_name() == "Reshape"
    return bool(shape) and same_rank and shape[ROW_AXIS] == target[ROW_AXIS]


def weight_form(node: Node) -> tuple:
    """
    The operations and types that weights are made of, and all their dimensions but the number of rows. Empty if their
    rows cannot be taken apart.
    """
    shape, element = static_shape(node.output(0)), node.get_output_element_type(0)
    if not shape:
        return ()
    if node.get_type_name() == "Constant":
        # Rows are joined byte by byte, so each must be a whole number of bytes.
        return ("Constant", str(element), shape[1:]) if math.prod(shape) * element.bitwidth % 8 == 0 else ()
    if node.get_type_name() not in DECOMPRESSION_TYPES:
        return ()
    parts = [weight_form(part) if _has_rows(part, node) else _shared_form(part) for part in _parts(node)]
    if not all(parts) or not _has_rows(_parts(node)[0], node):
        return ()
    return (node.get_type_name(), str(element), tuple(parts))


def _shared_form(node: Node) -> tuple:
    """What is used for all rows, a scale of each column, say, must be the same numbers."""
    element = str(node.get_output_element_type(0))
    if node.get_type_name() == "Constant":
        return ("shared", element, tuple(node.get_output_shape(0)), node.data.tobytes())
    if node.get_type_name() != "Convert":
        return ()
    form = _shared_form(node.input_value(0).get_node())
    return ("shared", element, form) if form else ()


def _parts(node: Node) -> list[Node]:
    """What a step of the decompression computes with."""
    values = node.input_values()[:1] if node.get_type_name() == "Reshape" else node.input_values()
    return [value.get_node() for value in values]


def with_rows(nodes: Sequence[Node], rows: int, constant: Callable[[Sequence[Node]], Node]) -> Node:
    """
    Makes a weight of the rows of others.

    Args:
        nodes (`Sequence[openvino.Node]`): weights of the same [`weight_form`].
        rows (`int`): number of rows of the new weight.
        constant (`Callable`): makes a constant with these rows from the corresponding constants of the weights.
    """
    first = nodes[0]
    kind = first.get_type_name()
    if kind == "Constant":
        return constant(nodes)
    inputs = [
        with_rows(parts, rows, constant) if _has_rows(parts[0], first) else parts[0]
        for parts in zip(*(_parts(node) for node in nodes), strict=True)
    ]
    if kind == "Reshape":
        shape = [rows, *first.get_output_shape(0)[1:]]
        return ops.reshape(inputs[0], ops.constant(shape, np.int64), False)
    if kind == "Convert":
        return ops.convert(inputs[0], first.get_output_element_type(0).to_string())
    return (ops.subtract if kind == "Subtract" else ops.multiply)(*inputs)


def raw_bytes(node: Node) -> np.ndarray:
    """The bytes of a constant, uint8 `[bytes]`."""
    return node.data.reshape(-1).view(np.uint8)
