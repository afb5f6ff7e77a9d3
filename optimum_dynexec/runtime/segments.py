"""Cuts a paged decoder into segments at residual-stream boundaries."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model

from ..exporters.paging import CACHE_PREFIXES
from ..utils.graph import parameters_before


HIDDEN_STATES = "dynexec.hidden_states"


def cut(model: Model, boundaries: list[str]) -> list[Model]:
    """Cuts `model` after each node named in `boundaries` into a chain of models.

    Each segment but the last has one output, the hidden states `[n, 1, hidden_size]` or `[1, n, hidden_size]` at its
    boundary; each but the first takes them as input `dynexec.hidden_states`. The last one has the outputs of `model`.
    Weights stay shared.

    Args:
        model (`openvino.Model`):
            A decoder from [`prepare`]. Left as it is.
        boundaries (`list[str]`):
            Friendly names of the nodes to cut after, in the order of execution.

    Raises:
        `ValueError`: if a name is not in the model, the names are not in the order of execution, or a layer after a
            boundary needs one before it.
    """
    model = model.clone()
    _fold_static_dimensions(model)
    nodes = {op.get_friendly_name(): op for op in model.get_ordered_ops()}
    missing = [name for name in boundaries if name not in nodes]
    if missing:
        raise ValueError(f"The model has no node named {missing}: the export and its dynexec_config.json disagree")
    cuts = []
    for name in boundaries:
        output = nodes[name].output(0)
        hidden_states = ops.parameter(output.get_partial_shape(), output.get_element_type(), name=HIDDEN_STATES)
        hidden_states.get_output_tensor(0).set_names({HIDDEN_STATES})
        for target in output.get_target_inputs():
            target.replace_source_output(hidden_states.output(0))
        cuts.append((ops.result(output), hidden_states))
    ends = [[result] for result, _ in cuts] + [list(model.get_results())]
    parameters = list(model.get_parameters()) + [parameter for _, parameter in cuts]
    segments = []
    seen_caches: set[str] = set()
    for index, results in enumerate(ends):
        needed = parameters_of(results, parameters)
        expected = [] if index == 0 else [cuts[index - 1][1].get_name()]
        if [p.get_name() for p in needed if p.get_friendly_name() == HIDDEN_STATES] != expected:
            raise ValueError(f"{boundaries} does not cut the model into a chain: the names must be in execution order")
        caches = {p.get_name() for p in needed if p.output(0).get_any_name().startswith(CACHE_PREFIXES)}
        if caches & seen_caches:
            raise ValueError(f"{boundaries} does not cut the model: a layer after a boundary needs one before it")
        seen_caches |= caches
        segments.append(ov.Model(results, needed, f"{model.get_friendly_name()}.segment_{index}"))
    return segments


def _fold_static_dimensions(model: Model) -> None:
    """
    Replaces the dimensions that a graph reads off its tensors, where they are known, by constants. All layers may
    share what one of them has read off (Phi-3 does), and would else need that layer's tensors behind a boundary.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Gather" or node.input_value(0).get_node().get_type_name() != "ShapeOf":
            continue
        shape = node.input_value(0).get_node().input_value(0).get_partial_shape()
        indices = node.input_value(1).get_node()
        if shape.rank.is_dynamic or indices.get_type_name() != "Constant":
            continue
        axes = np.asarray(indices.data)
        dimensions = [shape[int(axis)] for axis in axes.flatten()]
        if any(dimension.is_dynamic for dimension in dimensions):
            continue
        values = np.array([dimension.get_length() for dimension in dimensions], np.int64).reshape(axes.shape)
        constant = ops.constant(values, node.get_output_element_type(0))
        node.output(0).replace(constant.output(0))


def parameters_of(ends: list[ov.Node], parameters: list[ov.Node]) -> list[ov.Node]:
    """Those of `parameters`, in their order, that `ends` depend on."""
    needed = {node.get_name() for node in parameters_before(ends)}
    return [parameter for parameter in parameters if parameter.get_name() in needed]
