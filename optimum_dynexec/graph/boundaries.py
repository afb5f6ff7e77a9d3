"""Finds where one decoder layer of an OpenVINO model ends and the next begins.

The search looks at the structure of the graph only, so it depends on no model family and no naming scheme. The
residual stream, which one layer passes to the next, is one tensor on every path from the tokens to the logits. Inside
a layer, the paths split around the attention and around the MLP. The search therefore lists the nodes that all paths
share, finds the shared nodes between which the attentions lie, and takes the last shared node before the next
attention.
"""

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from .errors import NotSegmentableError


if TYPE_CHECKING:
    from openvino import Model, Node


ATTENTION_TYPES = {"ScaledDotProductAttention", "PagedAttentionExtension"}
TOKEN_INPUTS = ("inputs_embeds", "input_ids")


def find_layer_boundaries(model: "Model") -> list[str]:
    """
    Finds the nodes whose output is the residual stream after each decoder layer.

    Works on the stateful model as exported, compressed or not, and on the same model after the PagedAttention
    transformation. Both give the same names.

    Args:
        model (`openvino.Model`):
            A decoder with one token input (`input_ids` or `inputs_embeds`) and a `logits` output.

    Returns:
        `list[str]`: the friendly name of the node after each layer, in order. The output of a node has the shape
        `[batch, length, hidden]` in the stateful model. The last entry is the residual stream after the last layer,
        before the final norm.

    Raises:
        [`NotSegmentableError`]: if there are no such nodes. The message says why.
    """
    shared, reached, attention_gaps = shared_nodes(model)
    if not attention_gaps:
        raise NotSegmentableError(
            f"it does not contain an attention operation ({' or '.join(sorted(ATTENTION_TYPES))})"
        )

    residual_adds = [i for i, node in enumerate(shared) if joins_two_paths(node, reached)]
    last_add = max(residual_adds, default=-1)
    if last_add <= attention_gaps[-1]:
        raise NotSegmentableError("there is no addition to the residual stream after the last attention")
    stream = shared[last_add].get_output_partial_shape(0)
    if stream.rank.is_dynamic or stream[-1].is_dynamic:
        raise NotSegmentableError(f"the residual stream has the shape {stream}, whose last dimension is unknown")
    width = stream[-1].get_length()

    boundaries = []
    for layer, (start, end) in enumerate(pairwise(attention_gaps)):
        between = [i for i in range(start + 1, end + 1) if carries(shared[i], width)]
        if not between:
            raise NotSegmentableError(f"layer {layer} and layer {layer + 1} share no hidden state")
        boundaries.append(between[-1])
    boundaries.append(last_add + steps_after_add(boundaries, residual_adds, shared, last_add))

    names = [shared[i].get_friendly_name() for i in boundaries]
    check_unique(names, model)
    return names


def shared_nodes(
    model: "Model",
    source: "Node | None" = None,
    sinks: "list[Node] | None" = None,
    attention_types: set[str] = ATTENTION_TYPES,
) -> tuple[list["Node"], set[str], list[int]]:
    """
    Walks the paths from the tokens to the logits.

    Args:
        model (`openvino.Model`): the model that contains the graph.
        source (`openvino.Node`, *optional*): start of the paths; the token input by default.
        sinks (`list[openvino.Node]`, *optional*): ends of the paths; the result `logits` by default.
        attention_types (`set[str]`, *optional*): types of the operations that count as attentions.

    Returns:
        `tuple`: the nodes on every path, in order; the names of all nodes that the tokens reach; and for each place
        with attentions, ascending, the index of the last shared node before it.
    """
    source = source or _token_input(model)
    sinks = sinks or [_logits_result(model)]
    order = model.get_ordered_ops()
    names = [node.get_name() for node in order]
    consumers = {name: _data_consumers(node) for name, node in zip(names, order, strict=True)}

    # The number of paths from the source to each node, and from each node to the sink: a node is on all paths
    # if the product of both is the total. The counts grow exponentially with depth; Python's integers stay exact.
    from_source = dict.fromkeys(names, 0)
    from_source[source.get_name()] = 1
    for name in names:
        if from_source[name]:
            for consumer in consumers[name]:
                from_source[consumer] += from_source[name]
    to_sink = dict.fromkeys(names, 0)
    to_sink.update({sink.get_name(): 1 for sink in sinks})
    for name in reversed(names):
        to_sink[name] += sum(to_sink[consumer] for consumer in consumers[name])

    total = sum(from_source[sink.get_name()] for sink in sinks)
    if not total:
        raise NotSegmentableError(f"the output {sinks[0].get_friendly_name()!r} does not depend on the tokens")
    shared: list[Node] = []
    attentions: dict[int, list[str]] = {}
    for name, node in zip(names, order, strict=True):
        paths = from_source[name] * to_sink[name]
        if paths and node.get_type_name() in attention_types:
            attentions.setdefault(len(shared) - 1, []).append(name)
        if paths == total:
            shared.append(node)
    # Attentions side by side belong to one layer. Attentions one after the other belong to two layers that share no
    # node.
    for layer, group in enumerate(attentions.values()):
        if any(_leads_to(first, second, consumers) for first, second in combinations(group, 2)):
            raise NotSegmentableError(f"layer {layer} and layer {layer + 1} share more than one tensor")
    return shared, {name for name in names if from_source[name]}, list(attentions)


def _leads_to(first: str, second: str, consumers: dict[str, list[str]]) -> bool:
    seen: set[str] = set()
    stack = [first]
    while stack:
        name = stack.pop()
        if name == second:
            return True
        if name not in seen:
            seen.add(name)
            stack += consumers[name]
    return False


def _token_input(model: "Model") -> "Node":
    parameters = {name: node for node in model.get_parameters() for name in node.output(0).get_names()}
    for name in TOKEN_INPUTS:
        if name in parameters:
            return parameters[name]
    raise NotSegmentableError(
        f"it needs one of the inputs {list(TOKEN_INPUTS)}, but its inputs are {sorted(parameters)}"
    )


def _logits_result(model: "Model") -> "Node":
    results = model.get_results()
    for result in results:
        if "logits" in result.input_value(0).get_names() or "logits" in result.output(0).get_names():
            return result
    raise NotSegmentableError("it has no output named 'logits'")


def _data_consumers(node: "Node") -> list[str]:
    """One name per edge. An edge into ShapeOf carries a shape, not the tensor."""
    return [
        target.get_node().get_name()
        for output in node.outputs()
        for target in output.get_target_inputs()
        if target.get_node().get_type_name() != "ShapeOf"
    ]


def joins_two_paths(node: "Node", reached: set[str]) -> bool:
    """Whether a node adds to the residual stream. The alternative is the addition of a bias."""
    return node.get_type_name() == "Add" and all(
        value.get_node().get_name() in reached for value in node.input_values()
    )


def carries(node: "Node", width: int) -> bool:
    """Whether the only output of a node is one hidden state per token."""
    if node.get_output_size() != 1 or not node.get_output_element_type(0).is_real():
        return False
    shape = node.get_output_partial_shape(0)
    return shape.rank.is_static and len(shape) >= 2 and shape[-1] == width


def steps_after_add(boundaries: list[int], residual_adds: list[int], shared: list["Node"], last_add: int) -> int:
    """
    How many nodes after its last addition a layer ends: 0, unless the layer then normalises (post-norm) or reshapes.
    The nodes after the last layer do not show where it ends, so it ends as the layers before it do.
    """
    if not boundaries:
        return 0
    inner = boundaries[-1]
    inner_add = max((i for i in residual_adds if i <= inner), default=inner)
    types = [node.get_type_name() for node in shared[inner_add + 1 : inner + 1]]
    same = types == [node.get_type_name() for node in shared[last_add + 1 : last_add + 1 + len(types)]]
    return len(types) if same else 0


def check_unique(names: list[str], model: "Model") -> None:
    wanted = set(names)
    found = [name for name in (node.get_friendly_name() for node in model.get_ops()) if name in wanted]
    if len(found) != len(names) or len(wanted) != len(names):
        raise NotSegmentableError("several nodes have the name of a layer boundary")
