"""Joins products of one input with several weights into one product: fewer, larger steps for the same arithmetic."""

import math
from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model, Node


# What may stand between a product and its weights.
DECOMPRESSION_TYPES = ("Convert", "Subtract", "Multiply", "Reshape")
ROW_AXIS = 0


def merge_products(model: Model) -> int:
    """
    Replaces the products of one input with several weights `[rows, width]`, those of queries, keys and values or of
    gate and up projections, by one with all of their rows, and splits what comes out. A device then has half as many
    products to start. Each output is computed from the same numbers as before.

    Weights in 8 or 4 bits are joined as they are, with their scales and zero points.

    Args:
        model (`openvino.Model`):
            Changed.

    Returns:
        `int`: how many products went into others.
    """
    groups: dict[tuple, list[Node]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        attributes = node.get_attributes()
        if attributes["transpose_a"] or not attributes["transpose_b"] or not _form(node.input_value(1).get_node()):
            continue
        source = node.input_value(0)
        key = (source.get_node().get_name(), source.get_index(), _form(node.input_value(1).get_node()))
        groups.setdefault(key, []).append(node)
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


def _form(node: Node) -> tuple:
    """What weights must have in common to be joined: their steps and types, and all dimensions but the rows."""
    shape = tuple(node.get_output_shape(0)) if node.get_output_partial_shape(0).is_static else ()
    if node.get_type_name() == "Constant":
        element = node.get_output_element_type(0)
        if len(shape) < 2:  # a scale of all rows, say
            return ("Constant", str(element), shape, node.data.tobytes())
        # Rows are joined byte by byte.
        return ("Constant", str(element), shape[1:]) if math.prod(shape) * element.bitwidth % 8 == 0 else ()
    if node.get_type_name() not in DECOMPRESSION_TYPES:
        return ()
    inputs = [node.input_value(0).get_node()]
    if node.get_type_name() != "Reshape":
        inputs += [value.get_node() for value in node.input_values()[1:]]
    forms = tuple(_form(value) for value in inputs)
    return (node.get_type_name(), str(node.get_output_element_type(0)), forms) if all(forms) else ()


def _join(nodes: Sequence[Node], rows: list[int]) -> Node:
    """The same steps over all rows."""
    first = nodes[0]
    kind = first.get_type_name()
    if kind == "Constant":
        return _join_constants(nodes)
    inputs = [_join([node.input_value(0).get_node() for node in nodes], rows)]
    if kind == "Reshape":
        shape = [sum(rows), *first.get_output_shape(0)[1:]]
        joined = ops.reshape(inputs[0], ops.constant(shape, np.int64), False)
    elif kind == "Convert":
        joined = ops.convert(inputs[0], first.get_output_element_type(0).to_string())
    else:
        inputs.append(_join([node.input_value(1).get_node() for node in nodes], rows))
        joined = (ops.subtract if kind == "Subtract" else ops.multiply)(*inputs)
    return joined


def _join_constants(nodes: Sequence[Node]) -> Node:
    first = nodes[0]
    shape = list(first.get_output_shape(0))
    if len(shape) < 2:
        return first
    shape[ROW_AXIS] = sum(node.get_output_shape(0)[ROW_AXIS] for node in nodes)
    # A tensor with memory of its own, which the constant keeps.
    joined = ov.Tensor(first.get_output_element_type(0), ov.Shape(shape))
    parts = [node.data.reshape(-1).view(np.uint8) for node in nodes]
    np.concatenate(parts, out=joined.data.reshape(-1).view(np.uint8))
    return ops.constant(joined, shared_memory=True)
