"""Turns a decoder IR into the form the engine runs: paged attention, logits of chosen rows only."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model

from ..exporters.errors import NotPageableError
from ..exporters.paging import to_paged


LOGITS_INDICES = "dynexec.logits_indices"


def prepare(model: Model) -> Model:
    """
    Makes the model that the engine runs, of `n` tokens of several sequences laid end to end.

    Its inputs are `input_ids` and `position_ids` int64 `[n]`, those of PagedAttention, and `dynexec.logits_indices`
    int64 `[rows]`; its output is float32 logits, `[rows, 1, vocab_size]`.

    Args:
        model (`openvino.Model`):
            A decoder as optimum-intel exports it, with its KV cache as state. Left as it is.

    Returns:
        `openvino.Model`: a transformed clone, which shares the weights.

    Raises:
        [`NotPageableError`]: if the engine cannot run this architecture; the message says why.
    """
    paged = to_paged(model)
    _select_logits(paged)
    return paged


def _select_logits(model: Model) -> None:
    """Computes logits only for the rows in a new input: the unembedding of a whole prompt would be wasted work."""
    (result,) = model.get_results()
    node = result.input_value(0).get_node()
    # Past what follows the unembedding (scaling, soft-capping, conversion) to the product itself.
    while node.get_type_name() != "MatMul":
        data = [value.get_node() for value in node.input_values() if value.get_node().get_type_name() != "Constant"]
        if not data:
            raise NotPageableError("no product with the unembedding stands before the logits")
        node = data[0]
    indices = ops.parameter([-1], np.int64, name=LOGITS_INDICES)
    indices.get_output_tensor(0).set_names({LOGITS_INDICES})
    # A paged model has its tokens on axis 0.
    rows = ops.gather(node.input_value(0), indices, ops.constant(0, np.int64))
    node.input(0).replace_source_output(rows.output(0))
    if result.get_output_element_type(0) != ov.Type.f32:
        result.input(0).replace_source_output(ops.convert(result.input_value(0), "f32").output(0))
    model.add_parameters([indices])
    model.validate_nodes_and_infer_types()
