"""Joins products of one input with several weights into one product: fewer operations, the same arithmetic."""

import math
from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model, Node, Output


# Operations that may lie between a product and its weights.
DECOMPRESSION_TYPES = ("Convert", "Subtract", "Multiply", "Reshape")
ROW_AXIS = 0


def merge_products(model: Model) -> int:
    """
    Replaces the products of one input with several weights `[rows, width]` (queries, keys and values, or the gate and
    up projections) by one product with all rows, and splits its output. A device then has half as many products to
    start. Each output is computed from the same numbers as before.

    Weights in 8 or 4 bits stay in that format, with their scales and zero points. Weights of another rank, such as
    those of experts, `[experts, rows, width]`, do not change.

    Args:
        model (`openvino.Model`):
            The model, which is changed.

    Returns:
        `int`: the number of products that were joined to another one.
    """
    groups: dict[tuple, list[Node]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        attributes = node.get_attributes()
        if attributes["transpose_a"] or not attributes["transpose_b"] or len(_shape(node.input_value(1))) != 2:
            continue
        form = _form(node.input_value(1).get_node())
        source = node.input_value(0)
        if form:
            groups.setdefault((source.get_node().get_name(), source.get_index(), form), []).append(node)
    merged = 0
    for group in groups.values():
        if len(group) > 1:
            _merge(group)
            merged += len(group) - 1
    if merged:
        model.validate_nodes_and_infer_types()
    return merged


def _merge(products: list[Node]) -> None:
    rows = [product.input_value(1).get_shape()[ROW_AXIS] for product in products]
    weights = _join([product.input_value(1).get_node() for product in products], rows)
    first = products[0]
    product = ops.matmul(first.input_value(0), weights, False, True)
    product.set_friendly_name("+".join(node.get_friendly_name() for node in products))
    parts = ops.variadic_split(product, ops.constant(-1, np.int64), ops.constant(rows, np.int64))
    for index, node in enumerate(products):
        names = node.output(0).get_names()
        node.output(0).replace(parts.output(index))
        parts.output(index).get_tensor().set_names(names)


def _shape(value: Output) -> tuple[int, ...]:
    return tuple(value.get_shape()) if value.get_partial_shape().is_static else ()


def _has_rows(node: Node, result: Node) -> bool:
    """Whether an input of `result` has one part for each row, instead of one value for all rows."""
    shape, target = _shape(node.output(0)), _shape(result.output(0))
    same_rank = len(shape) == len(target) or result.get_type_name() == "Reshape"
    return bool(shape) and same_rank and shape[ROW_AXIS] == target[ROW_AXIS]


def _form(node: Node) -> tuple:
    """The properties in which weights must agree to be joined: operations, types, and all dimensions but the rows."""
    shape, element = _shape(node.output(0)), node.get_output_element_type(0)
    if not shape:
        return ()
    if node.get_type_name() == "Constant":
        # Rows are joined byte by byte, so each must be a whole number of bytes.
        return ("Constant", str(element), shape[1:]) if math.prod(shape) * element.bitwidth % 8 == 0 else ()
    if node.get_type_name() not in DECOMPRESSION_TYPES:
        return ()
    parts = [_form(part) if _has_rows(part, node) else _shared_form(part) for part in _parts(node)]
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


def _join(nodes: Sequence[Node], rows: list[int]) -> Node:
    """The same operations over all rows."""
    first = nodes[0]
    kind = first.get_type_name()
    if kind == "Constant":
        return _join_constants(nodes)
    inputs = [
        _join(parts, rows) if _has_rows(parts[0], first) else parts[0]
        for parts in zip(*(_parts(node) for node in nodes), strict=True)
    ]
    if kind == "Reshape":
        shape = [sum(rows), *first.get_output_shape(0)[1:]]
        return ops.reshape(inputs[0], ops.constant(shape, np.int64), False)
    if kind == "Convert":
        return ops.convert(inputs[0], first.get_output_element_type(0).to_string())
    return (ops.subtract if kind == "Subtract" else ops.multiply)(*inputs)


def _join_constants(nodes: Sequence[Node]) -> Node:
    first = nodes[0]
    shape = list(first.get_output_shape(0))
    shape[ROW_AXIS] = sum(node.get_output_shape(0)[ROW_AXIS] for node in nodes)
    # The tensor owns its memory, which the constant keeps.
    joined = ov.Tensor(first.get_output_element_type(0), ov.Shape(shape))
    parts = [node.data.reshape(-1).view(np.uint8) for node in nodes]
    np.concatenate(parts, out=joined.data.reshape(-1).view(np.uint8))
    return ops.constant(joined, shared_memory=True)
