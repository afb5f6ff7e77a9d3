"""Cuts a paged decoder into segments at boundaries in the residual stream."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model

from ..native import _C
from .paged import FEATURE
from .paging import CACHE_PREFIXES
from .walks import nodes_before, nodes_by_name, parameters_before


HIDDEN_STATES = _C.HIDDEN_STATES


def cut(model: Model, boundaries: list[str]) -> list[Model]:
    """Cuts `model` after each node named in `boundaries` into a chain of models.

    Each segment but the last has one output, the hidden states `[n, 1, hidden_size]` or `[1, n, hidden_size]` at its
    boundary. Each but the first takes them as the input `dynexec.hidden_states`. If a draft head reads further layers
    of
    `model`, their hidden states follow those of the boundary; layers that are still to come are represented by the
    boundary's hidden states again. The last segment has the outputs of `model`. The segments share the weights.

    Args:
        model (`openvino.Model`):
            A decoder from [`prepare`]. It is not changed.
        boundaries (`list[str]`):
            Friendly names of the nodes to cut after, in the order of execution.

    Raises:
        `ValueError`: if the model has no node of a name, the names are not in the order of execution, or a layer after
            a boundary needs another tensor from before it.
    """
    model = model.clone()
    _fold_static_dimensions(model)
    nodes = nodes_by_name(model, boundaries)
    features = _feature_inputs(model)
    cuts = []
    for name in boundaries:
        output = nodes[name].output(0)
        targets = output.get_target_inputs()
        before = {node.get_name() for node in nodes_before([nodes[name]])} if features else set()
        sources = [port.get_source_output() for port in features]
        known = [source.get_node().get_name() in before for source in sources]
        values = [source if is_known else output for source, is_known in zip(sources, known, strict=True)]
        given = ops.concat([output, *values], -1).output(0) if features else output
        hidden_states = ops.parameter(given.get_partial_shape(), given.get_element_type(), name=HIDDEN_STATES)
        hidden_states.get_output_tensor(0).set_names({HIDDEN_STATES})
        taken = ops.split(hidden_states, np.int64(-1), 1 + len(features)) if features else hidden_states
        for target in targets:
            target.replace_source_output(taken.output(0))
        for i, port in enumerate(features):
            if known[i]:
                port.replace_source_output(taken.output(1 + i))
        cuts.append((ops.result(given), hidden_states))
    ends = [[result] for result, _ in cuts] + [list(model.get_results())]
    parameters = list(model.get_parameters()) + [parameter for _, parameter in cuts]
    segments = []
    seen_caches: set[str] = set()
    for index, results in enumerate(ends):
        needed = parameters_of(results, parameters)
        expected = [] if index == 0 else [cuts[index - 1][1].get_name()]
        if [p.get_name() for p in needed if p.get_friendly_name() == HIDDEN_STATES] != expected:
            raise ValueError(
                f"{boundaries} does not cut the model into a chain: the names must be in the order of execution"
            )
        caches = {p.get_name() for p in needed if p.output(0).get_any_name().startswith(CACHE_PREFIXES)}
        if caches & seen_caches:
            raise ValueError(f"{boundaries} cannot cut the model: a layer after a boundary needs a layer before it")
        seen_caches |= caches
        segments.append(ov.Model(results, needed, f"{model.get_friendly_name()}.segment_{index}"))
    return segments


def hidden_states_of(segment: Model) -> ov.Output:
    """
    The hidden states with which a segment continues, without those of feature layers that only pass through it.

    Args:
        segment (`openvino.Model`):
            A segment from [`cut`] that is not the first.
    """
    parameter = next(p for p in segment.get_parameters() if p.get_friendly_name() == HIDDEN_STATES)
    (first, *others) = [target.get_node() for target in parameter.output(0).get_target_inputs()]
    return first.output(0) if first.get_type_name() == "Split" and not others else parameter.output(0)


def _feature_inputs(model: Model) -> list[ov.Input]:
    """The node where the hidden states of feature layers enter the input of a draft head."""
    return [node.input(0) for node in model.get_ops() if node.get_friendly_name().startswith(FEATURE)]


def _fold_static_dimensions(model: Model) -> None:
    """
    Replaces the dimensions that a graph reads from its tensors by constants, where they are known. All layers may
    share what one layer has read (Phi-3 does); otherwise they would need that layer's tensors after a boundary.
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
    """The `parameters` that `ends` depend on, in order."""
    needed = {node.get_name() for node in parameters_before(ends)}
    return [parameter for parameter in parameters if parameter.get_name() in needed]
