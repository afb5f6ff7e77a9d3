"""Turns a decoder IR into the form that the engine runs: paged attention, and logits only for selected rows."""

from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model

from ..native import _C
from .backbone import unembedding_product
from .errors import NotPageableError
from .paging import to_paged
from .walks import nodes_by_name


LOGITS_INDICES = _C.LOGITS_INDICES
LAST_HIDDEN_STATES = _C.LAST_HIDDEN_STATES
# Prefix of the names of the nodes that pass the hidden states of a layer to the draft head.
FEATURE = "dynexec.feature."


def prepare(model: Model, features: Sequence[str] | None = None) -> Model:
    """
    Makes the model that the engine runs, for `n` tokens of several sequences laid end to end.

    Its inputs are `input_ids` and `position_ids` int64 `[n]`, those of PagedAttention, and `dynexec.logits_indices`
    int64 `[rows]`; its output is float32 logits, `[rows, 1, vocab_size]`.

    Args:
        model (`openvino.Model`):
            A decoder as optimum-intel exports it, with its KV cache as state. It is not changed.
        features (`Sequence[str]`, *optional*):
            If set, even to an empty sequence, the model has a second output, `dynexec.last_hidden_states`, which a
            draft head reads for all tokens. It contains the outputs of the nodes with these friendly names, followed
            by the input of the unembedding, float32 `[n, 1, (len(features) + 1) * hidden_size]`.

    Returns:
        `openvino.Model`: a transformed clone, which shares the weights with `model`.

    Raises:
        [`NotPageableError`]: if the engine cannot run this architecture. The message says why.
        `ValueError`: if the model has no node with one of these names.
    """
    paged = to_paged(model)
    hidden_states = select_logits(paged)
    if features is not None:
        result = ops.result(_features(paged, features, hidden_states))
        result.output(0).set_names({LAST_HIDDEN_STATES})
        paged.add_results([result])
    return paged


def _features(model: Model, names: Sequence[str], last: ov.Output) -> ov.Output:
    if not names:
        return _as_float32(last)
    nodes = nodes_by_name(model, names)
    # Some models have the tokens on the second axis.
    shape = ops.constant(np.array([-1, 1, last.get_partial_shape()[-1].get_length()], np.int64))
    parts = [ops.reshape(nodes[name], shape, special_zero=False, name=f"{FEATURE}{name}") for name in names]
    return ops.concat([_as_float32(part.output(0)) for part in parts] + [_as_float32(last)], -1).output(0)


def select_logits(model: Model) -> ov.Output:
    """
    Computes logits only for the rows that a new input selects: the unembedding of a whole prompt would be wasted work.

    Args:
        model (`openvino.Model`):
            A paged model with the tokens on axis 0. It is changed.

    Returns:
        `openvino.Output`: the tensor from which rows are selected, `[n, 1, hidden_size]`.

    Raises:
        [`NotPageableError`]: if the logits do not come from a product.
    """
    try:
        node = unembedding_product(model)
    except ValueError as error:
        raise NotPageableError(str(error)) from error
    hidden_states = node.input_value(0)
    indices = row_indices(LOGITS_INDICES)
    rows = ops.gather(hidden_states, indices, ops.constant(0, np.int64))
    node.input(0).replace_source_output(rows.output(0))
    result = model.output("logits").get_node()
    result.input(0).replace_source_output(_as_float32(result.input_value(0)))
    model.add_parameters([indices])
    model.validate_nodes_and_infer_types()
    return hidden_states


def row_indices(name: str) -> ov.Node:
    """
    Makes an input of row indices, int64 `[rows]`.

    Args:
        name (`str`): its name.
    """
    made = ops.parameter([-1], np.int64, name=name)
    made.get_output_tensor(0).set_names({name})
    return made


def _as_float32(value: ov.Output) -> ov.Output:
    return value if value.get_element_type() == ov.Type.f32 else ops.convert(value, "f32").output(0)
