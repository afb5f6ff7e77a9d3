"""Joins products of one input with several weights into one product: fewer operations, the same arithmetic."""

from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model, Node

from .weight_rows import ROW_AXIS, raw_bytes, static_shape, weight_form, with_rows


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
        if attributes["transpose_a"] or not attributes["transpose_b"] or len(static_shape(node.input_value(1))) != 2:
            continue
        form = weight_form(node.input_value(1).get_node())
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
    weights = with_rows([product.input_value(1).get_node() for product in products], sum(rows), _join)
    first = products[0]
    product = ops.matmul(first.input_value(0), weights, False, True)
    product.set_friendly_name("+".join(node.get_friendly_name() for node in products))
    parts = ops.variadic_split(product, ops.constant(-1, np.int64), ops.constant(rows, np.int64))
    for index, node in enumerate(products):
        names = node.output(0).get_names()
        node.output(0).replace(parts.output(index))
        parts.output(index).get_tensor().set_names(names)


def _join(nodes: Sequence[Node]) -> Node:
    first = nodes[0]
    shape = list(first.get_output_shape(0))
    shape[ROW_AXIS] = sum(node.get_output_shape(0)[ROW_AXIS] for node in nodes)
    # The tensor owns its memory, which the constant keeps.
    joined = ov.Tensor(first.get_output_element_type(0), ov.Shape(shape))
    np.concatenate([raw_bytes(node) for node in nodes], out=joined.data.reshape(-1).view(np.uint8))
    return ops.constant(joined, shared_memory=True)
