"""A decoder that computes the logits of a part of its vocabulary only (FR-Spec, arXiv 2502.14856)."""

from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model, Node, Output

from .backbone import unembedding_product
from .weight_rows import raw_bytes, static_shape, weight_form, with_rows


def cut_vocabulary(model: Model, token_ids: Sequence[int]) -> None:
    """
    Leaves the logits of some tokens. The unembedding is often a quarter of what a small model reads for a token.

    Args:
        model (`openvino.Model`):
            A decoder. It is changed: its logits are those of `token_ids`, in this order. Weights in 8 or 4 bits stay
            in that format.
        token_ids (`Sequence[int]`): ids of the tokens.

    Raises:
        `ValueError`: if the logits do not come from a product whose weights have a row for each token.
    """
    product = unembedding_product(model)
    weights = product.input_value(1)
    vocab_size = static_shape(weights)[0] if product.get_attributes()["transpose_b"] and static_shape(weights) else 0
    if not weight_form(weights.get_node()) or vocab_size <= max(token_ids):
        raise ValueError("the vocabulary of this model cannot be cut: its unembedding has no row for each token")
    rows = np.asarray(token_ids, np.int64)
    _cut_what_follows(product, vocab_size, rows)
    cut = with_rows([weights.get_node()], len(rows), lambda nodes: _take(nodes[0], rows))
    product.input(1).replace_source_output(cut.output(0))
    model.validate_nodes_and_infer_types()


def _cut_what_follows(product: Node, vocab_size: int, rows: np.ndarray) -> None:
    """A bias, for example."""
    outputs: list[Output] = [product.output(0)]
    while outputs:
        for target in outputs.pop().get_target_inputs():
            node = target.get_node()
            outputs += node.outputs()
            for index, value in enumerate(node.input_values()):
                shape = static_shape(value)
                if shape and shape[-1] == vocab_size and value.get_node().get_type_name() in ("Constant", "Convert"):
                    node.input(index).replace_source_output(ops.gather(value, rows, np.int64(-1)).output(0))


def _take(node: Node, rows: np.ndarray) -> Node:
    shape = list(node.get_output_shape(0))
    content = raw_bytes(node)
    if len(content) % shape[0]:
        raise ValueError("the vocabulary of this model cannot be cut: its rows end inside a byte")
    taken = ov.Tensor(node.get_output_element_type(0), ov.Shape([len(rows), *shape[1:]]))
    np.take(
        content.reshape(shape[0], -1), rows, axis=0, out=taken.data.reshape(-1).view(np.uint8).reshape(len(rows), -1)
    )
    return ops.constant(taken, shared_memory=True)
