"""Finds where one layer of an encoder, or one block of a vision model, ends and the next begins.

Like `boundaries` for decoders, the search looks at the structure of the graph only. Where there are attentions, a
layer ends with the last node before the next attention that all paths share. Networks without attentions (ResNet,
ConvNeXt) have residual blocks instead: each block ends with its addition, or with the activation directly after it.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

from .boundaries import ATTENTION_TYPES, carries, check_unique, joins_two_paths, shared_nodes, steps_after_add
from .errors import NotSegmentableError


if TYPE_CHECKING:
    from openvino import Model, Node


# The main inputs of encoders. The first of them that a model has is used.
MAIN_INPUTS = ("input_ids", "inputs_embeds", "pixel_values", "input_values", "input_features")
# Some attentions are exported as separate operations. No other block of an encoder contains this one.
ENCODER_ATTENTION_TYPES = {*ATTENTION_TYPES, "Softmax"}
ACTIVATIONS = {"Relu", "Gelu", "Swish", "HSwish", "Clamp", "PRelu", "Elu", "Mish"}


def find_encoder_boundaries(model: "Model") -> list[str]:
    """
    Finds the nodes whose output is the hidden states after each layer, or after each residual block.

    Args:
        model (`openvino.Model`):
            A model as optimum-intel exports it for a task without a cache, compressed or not.

    Returns:
        `list[str]`: the friendly name of the node after each layer, in order. The model's own head, or its last norm,
        reads the last one.

    Raises:
        [`NotSegmentableError`]: if there are no such nodes. The message says why.
    """
    shared, reached, attention_gaps = shared_nodes(
        model, main_input(model), list(model.get_results()), ENCODER_ATTENTION_TYPES
    )
    adds = [i for i, node in enumerate(shared) if joins_two_paths(node, reached)]
    if not adds:
        raise NotSegmentableError("no addition lies on all paths from its input to its outputs, so it has no blocks")
    boundaries = _after_attentions(shared, adds, attention_gaps) if attention_gaps else _after_adds(shared, adds)
    names = [shared[i].get_friendly_name() for i in boundaries]
    check_unique(names, model)
    return names


def main_input(model: "Model") -> "Node":
    """
    The input that the layers of a model process.

    Raises:
        [`NotSegmentableError`]: if the model has no known main input.
    """
    parameters = {name: node for node in model.get_parameters() for name in node.output(0).get_names()}
    for name in MAIN_INPUTS:
        if name in parameters:
            return parameters[name]
    raise NotSegmentableError(
        f"it needs one of the inputs {list(MAIN_INPUTS)}, but its inputs are {sorted(parameters)}"
    )


def _after_attentions(shared: list["Node"], adds: list[int], attention_gaps: list[int]) -> list[int]:
    last_add = adds[-1]
    if last_add <= attention_gaps[-1]:
        raise NotSegmentableError("there is no addition to the residual stream after the last attention")
    boundaries = []
    for layer, (start, end) in enumerate(pairwise(attention_gaps)):
        # Hidden states may change their width between stages (Swin): each layer has the width of its own last
        # addition.
        inside = [i for i in adds if start < i <= end]
        if not inside:
            raise NotSegmentableError(f"layer {layer} and layer {layer + 1} share no hidden state")
        width, rank = _width(shared[inside[-1]]), len(shared[inside[-1]].get_output_partial_shape(0))
        carrying = [i for i in range(inside[-1], end + 1) if carries(shared[i], width)]
        boundaries.append([i for i in carrying if len(shared[i].get_output_partial_shape(0)) == rank][-1])
    return [*boundaries, last_add + steps_after_add(boundaries, adds, shared, last_add)]


def _after_adds(shared: list["Node"], adds: list[int]) -> list[int]:
    boundaries = []
    for add in adds:
        follows = add + 1 < len(shared) and shared[add + 1].get_type_name() in ACTIVATIONS
        boundaries.append(add + 1 if follows else add)
    return boundaries


def _width(node: "Node") -> int:
    shape = node.get_output_partial_shape(0)
    if shape.rank.is_dynamic or len(shape) < 2 or shape[-1].is_dynamic:
        raise NotSegmentableError(f"the residual stream has the shape {shape}, whose last dimension is unknown")
    return shape[-1].get_length()
