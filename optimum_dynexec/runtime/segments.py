"""Cuts a paged decoder into segments at residual-stream boundaries."""

import openvino as ov
import openvino.opset13 as ops
from openvino import Model


HIDDEN_STATES = "dynexec.hidden_states"


def cut(model: Model, boundaries: list[str]) -> list[Model]:
    """Cuts `model` after each node named in `boundaries` into a chain of models.

    Each segment but the last has one output, the hidden states `[n, 1, hidden_size]` or `[1, n, hidden_size]` at its
    boundary; each but the first takes them as input `dynexec.hidden_states`. Weights stay shared.

    Args:
        model (`openvino.Model`):
            A decoder from [`prepare`]. Left as it is.
        boundaries (`list[str]`):
            Friendly names of the nodes to cut after, in the order of execution.

    Raises:
        `ValueError`: if a name is not in the model, or the names are not in the order of execution.
    """
    model = model.clone()
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
    ends = [result for result, _ in cuts] + list(model.get_results())
    parameters = list(model.get_parameters()) + [parameter for _, parameter in cuts]
    segments = []
    for index, end in enumerate(ends):
        needed = _parameters_of(end, parameters)
        expected = [] if index == 0 else [cuts[index - 1][1].get_name()]
        if [p.get_name() for p in needed if p.get_friendly_name() == HIDDEN_STATES] != expected:
            raise ValueError(f"{boundaries} does not cut the model into a chain: the names must be in execution order")
        segments.append(ov.Model([end], needed, f"{model.get_friendly_name()}.segment_{index}"))
    return segments


def _parameters_of(end: ov.Node, parameters: list[ov.Node]) -> list[ov.Node]:
    seen: set[str] = set()
    stack = [end]
    while stack:
        node = stack.pop()
        if node.get_name() in seen:
            continue
        seen.add(node.get_name())
        stack += [value.get_node() for value in node.input_values()]
    return [parameter for parameter in parameters if parameter.get_name() in seen]
