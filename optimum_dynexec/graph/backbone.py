"""Finds the parts of a decoder's graph that heads share or start from: the unembedding, the embedding, weights.

Everything is found by structure, in models of any family and weight format, as optimum-intel exports them.
"""

from typing import TYPE_CHECKING

import numpy as np

from .boundaries import shared_nodes
from .walks import nodes_before


if TYPE_CHECKING:
    from openvino import Model, Node, Output


# The number of rows of a large table that are computed at once.
CHUNK = 4096
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
# Operations that read a weight but produce nothing to compute with.
NO_VALUE = {"Result", "ShapeOf"}


def unembedding(model: "Model") -> np.ndarray:
    """
    The matrix that turns last hidden states into logits.

    Args:
        model (`openvino.Model`):
            A decoder, compressed or not.

    Returns:
        `np.ndarray` of shape `(vocab_size, hidden_size)`, float32: `logits = hidden_states @ matrix.T`.

    Raises:
        `ValueError`: if the logits are not this product alone, for example if they have a bias, are scaled or are
            capped.
    """
    node = unembedding_product(model)
    after = _between(node, model)
    if after:
        raise ValueError(
            f"the model's logits are not the plain product of hidden states and unembedding: {' and '.join(after)} "
            "comes after it, so a head cannot share the unembedding"
        )
    weight = node.input_value(1)
    if not _is_constant(weight.get_node(), {}):
        raise ValueError(
            "the model's logits are not a product with a constant, so a head cannot share the unembedding"
        )
    attributes = node.get_attributes()
    matrix = _evaluate_constant(model, weight)
    return matrix if attributes["transpose_b"] else np.ascontiguousarray(matrix.T)


def last_hidden_states(model: "Model") -> "Output":
    """
    The tensor that the unembedding reads: the hidden states after the last norm.

    Args:
        model (`openvino.Model`):
            A decoder, stateful or paged.

    Returns:
        `openvino.Output`: of shape `[batch, length, hidden_size]`; `[n, 1, hidden_size]` in a paged model.

    Raises:
        `ValueError`: if the logits do not come from a product.
    """
    return unembedding_product(model).input_value(0)


def unembedding_product(model: "Model") -> "Node":
    """
    The `MatMul` of hidden states and unembedding.

    Args:
        model (`openvino.Model`):
            A decoder, stateful or paged.

    Raises:
        `ValueError`: if the logits do not come from a product.
    """
    results = [result for result in model.get_results() if "logits" in result.output(0).get_names()]
    if not results:
        raise ValueError("the model has no output named 'logits'")
    node = results[0].input_value(0).get_node()
    constant: dict[str, bool] = {}
    while node.get_type_name() != "MatMul":
        data = [value.get_node() for value in node.input_values() if not _is_constant(value.get_node(), constant)]
        if not data:
            raise ValueError("the logits do not come from a product with the unembedding")
        node = data[0]
    return node


def embeddings(model: "Model") -> "Output":
    """
    The tensor that the model computes from token ids alone: the last node on the path of all tokens that depends on
    nothing else. It does not include position embeddings, but it includes a scale or a norm after the table.

    Args:
        model (`openvino.Model`):
            A stateful decoder.

    Returns:
        `openvino.Output`: of shape `[batch, length, embedding_size]`, of a floating-point type.

    Raises:
        `ValueError`: if the model does not have such a node.
    """
    shared, _, _ = shared_nodes(model)
    alone: dict[str, bool] = {}
    found = [node for node in shared if _is_embedding(node) and _depends_on_ids_alone(node, alone)]
    if not found:
        raise ValueError("the model does not compute one vector for each token id")
    return found[-1].output(0)


def embedding_matrix(model: "Model") -> np.ndarray:
    """
    The table of [`embeddings`]: row *t* is the vector of token *t*.

    Args:
        model (`openvino.Model`):
            A stateful decoder, compressed or not.

    Returns:
        `np.ndarray` of shape `(vocab_size, embedding_size)`, float32.

    Raises:
        `ValueError`: if the model does not have such a table.
    """
    model = model.clone()
    output = embeddings(model)
    parameters = [node for node in model.get_parameters() if _leads_to(output.get_node(), node)]
    request = _compile([output], parameters).create_infer_request()
    vocab_size = model.output("logits").get_partial_shape()[-1].get_length()
    matrix = np.empty((vocab_size, output.get_partial_shape()[-1].get_length()), np.float32)
    for start in range(0, vocab_size, CHUNK):
        ids = np.arange(start, min(start + CHUNK, vocab_size), dtype=np.int64)[None]
        matrix[start : start + ids.size] = request.infer([ids])[0][0]
    return matrix


def named_weight(model: "Model", name: str) -> np.ndarray | None:
    """
    A weight, by the name of its constant in the exported model.

    Args:
        model (`openvino.Model`):
            A decoder, compressed or not.
        name (`str`):
            Name of the constant, such as `self.model.layers.29.self_attn.q_proj.weight`.

    Returns:
        `np.ndarray`, float32, decompressed, laid out as in the graph; `None` if no constant has this name.
    """
    value = _named_constant(model, name)
    return None if value is None else _evaluate_constant(model, value)


def norm_weight_before(model: "Model", name: str | None = None) -> np.ndarray | None:
    """
    The weight of the RMSNorm whose output goes into a product. In exported models, weights of norms have no names.

    Args:
        model (`openvino.Model`):
            A decoder, compressed or not.
        name (`str`, *optional*):
            Name of the product's weight, as in [`named_weight`]. If not set, the product with the unembedding.

    Returns:
        `np.ndarray` of shape `(hidden_size,)`, float32; `None` if there is no such product, or no scale by a vector
        before it.
    """
    if name is None:
        product: Node | None = unembedding_product(model)
    else:
        value = _named_constant(model, name)
        targets = [] if value is None else [target.get_node() for target in value.get_target_inputs()]
        product = next((node for node in targets if node.get_type_name() == "MatMul"), None)
    if product is None:
        return None
    node = product.input_value(0).get_node()
    if node.get_type_name() != "Multiply":
        return None
    constants = [value for value in node.input_values() if _is_constant(value.get_node(), {})]
    if len(constants) != 1 or not constants[0].get_partial_shape().is_static:
        return None
    shape = list(constants[0].get_shape())
    if np.prod(shape) != shape[-1:] or shape[-1] != node.get_output_partial_shape(0)[-1]:
        return None
    return _evaluate_constant(model, constants[0]).reshape(-1)


def _named_constant(model: "Model", name: str) -> "Output | None":
    """The constant of this name after decompression: the last node that depends on constants alone."""
    constant: dict[str, bool] = {}
    # In a float16 model, the name belongs to the conversion after the constant.
    node = next((op for op in model.get_ops() if op.get_friendly_name() == name and _is_constant(op, constant)), None)
    if node is None:
        return None
    value = node.output(0)
    while True:
        targets = [target.get_node() for target in value.get_target_inputs()]
        following = [t for t in targets if t.get_type_name() not in NO_VALUE and _is_constant(t, constant)]
        if not following:
            return value
        value = following[0].output(0)


def _between(product: "Node", model: "Model") -> list[str]:
    """Types of the operations between the product and the logits, without conversions."""
    types = []
    node = model.output("logits").get_node().input_value(0).get_node()
    constant: dict[str, bool] = {}
    while node.get_name() != product.get_name():
        if node.get_type_name() != "Convert":
            types.append(node.get_type_name())
        node = next(v.get_node() for v in node.input_values() if not _is_constant(v.get_node(), constant))
    return types[::-1]


def _is_constant(node: "Node", known: dict[str, bool]) -> bool:
    """Whether a node's value depends on constants alone. `known` caches the answers by name."""
    return _depends_on(node, known, {"Constant"})


def _depends_on_ids_alone(node: "Node", known: dict[str, bool]) -> bool:
    return _depends_on(node, known, {"Constant", "input_ids"})


def _depends_on(node: "Node", known: dict[str, bool], allowed: set[str]) -> bool:
    """Whether a node depends only on what is allowed: types of operations without inputs, or names of parameters."""
    stack = [node]
    while stack:
        top = stack[-1]
        name, inputs = top.get_name(), [value.get_node() for value in top.input_values()]
        unknown = [value for value in inputs if value.get_name() not in known]
        if name in known:
            stack.pop()
        elif top.get_type_name() == "Parameter":
            known[name] = not allowed.isdisjoint(top.output(0).get_names())
        elif top.get_type_name() == "ReadValue" or not inputs:
            known[name] = top.get_type_name() in allowed
        elif unknown:
            stack += unknown
        else:
            known[name] = all(known[value.get_name()] for value in inputs)
    return known[node.get_name()]


def _is_embedding(node: "Node") -> bool:
    if node.get_output_size() != 1 or not node.get_output_element_type(0).is_real():
        return False
    shape = node.get_output_partial_shape(0)
    return shape.rank.is_static and len(shape) == 3 and shape[-1].is_static


def _leads_to(end: "Node", start: "Node") -> bool:
    """Whether `end` depends on `start`."""
    return any(node.get_name() == start.get_name() for node in nodes_before([end]))


def _evaluate_constant(model: "Model", value: "Output") -> np.ndarray:
    """The float32 copy of an output of `model` that depends on constants alone."""
    node = value.get_node()
    if node.get_type_name() == "Constant" and value.get_element_type().is_real():
        return np.array(node.data, np.float32)
    return np.array(_compile([value], []).create_infer_request().infer([])[0], np.float32)


def _compile(values: list["Output"], parameters: list["Node"]):
    import openvino as ov
    from openvino import opset13 as ops

    results = [ops.result(ops.convert(value, "f32")) for value in values]
    return ov.Core().compile_model(ov.Model(results, parameters), "CPU", EXACT)
