"""Turns a stateful decoder IR into the form the engine runs: paged attention, logits of chosen rows only."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model
from openvino._offline_transformations import paged_attention_transformation


LOGITS_INDICES = "dynexec.logits_indices"


class NotPageableError(ValueError):
    """The PagedAttention transformation does not cover this architecture."""


def to_paged(model: Model) -> Model:
    """Returns a copy of a stateful decoder with paged attention.

    Inputs of the result, for `n` tokens of several sequences laid end to end: `input_ids` and `position_ids` int64
    `[n]`, the PagedAttention inputs, and `dynexec.logits_indices` int64 `[rows]`. Output: float32 logits
    `[rows, 1, vocab_size]`. Weights are shared with `model`, not copied.

    Args:
        model (`openvino.Model`):
            A decoder as optimum-intel exports it, with its KV cache as state. Left as it is.

    Raises:
        `NotPageableError`: if the transformation fails or leaves state behind.
    """
    paged = model.clone()
    try:
        paged_attention_transformation(paged)
    except RuntimeError as error:
        raise NotPageableError(f"the PagedAttention transformation failed: {error}") from error
    if paged.get_sinks() or any(op.get_type_name() == "ReadValue" for op in paged.get_ops()):
        raise NotPageableError("the PagedAttention transformation left state in the model")
    known = {"input_ids", "position_ids", "max_context_len", "past_lens", "subsequence_begins", "block_indices"}
    for parameter in paged.inputs:
        name = parameter.get_any_name()
        if name not in known | {"block_indices_begins"} and not name.startswith(("key_cache.", "value_cache.")):
            raise NotPageableError(f"the paged model has an input '{name}' that the engine cannot feed")
    _select_logits(paged)
    return paged


def _select_logits(model: Model) -> None:
    """Computes logits only for the rows in a new input: the unembedding of a whole prompt would be wasted work."""
    (result,) = model.get_results()
    node = result.input_value(0).get_node()
    # Past what follows the unembedding (scaling, soft-capping, conversion) to the product itself.
    while node.get_type_name() != "MatMul":
        data_inputs = [value for value in node.input_values() if value.get_node().get_type_name() != "Constant"]
        if not data_inputs:
            raise NotPageableError("no product with the unembedding was found before the logits")
        node = data_inputs[0].get_node()
    indices = ops.parameter([-1], np.int64, name=LOGITS_INDICES)
    indices.get_output_tensor(0).set_names({LOGITS_INDICES})
    # A paged model has its tokens on axis 0.
    rows = ops.gather(node.input_value(0), indices, ops.constant(0, np.int64))
    node.input(0).replace_source_output(rows.output(0))
    model.add_parameters([indices])
    model.validate_nodes_and_infer_types()
    if model.output(0).get_element_type() != ov.Type.f32:
        source = result.input_value(0)
        result.input(0).replace_source_output(ops.convert(source, "f32").output(0))
        model.validate_nodes_and_infer_types()
