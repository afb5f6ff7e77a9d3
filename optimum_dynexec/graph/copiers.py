"""Models that make keys and values for skipped layers from a copied hidden state."""

from collections.abc import Sequence

import openvino as ov
import openvino.opset13 as ops
from openvino import Model

from .segments import hidden_states_of
from .walks import parameters_before


ATTENTION = "PagedAttentionExtension"


def make_copier(segment: Model, boundaries: Sequence[str]) -> Model:
    """
    Makes a model that computes the keys and values of all layers of a segment from the same hidden states, as if the
    layers before had changed nothing (CALM, arXiv 2207.07061). It contains only what this needs: of each layer, the
    norm, the projections and the attention that writes the cache.

    Args:
        segment (`openvino.Model`):
            A segment from [`cut`] that is not the first. It is not changed.
        boundaries (`Sequence[str]`):
            Friendly names of the nodes whose outputs are the hidden states after each layer, for all layers of the
            model.

    Returns:
        `openvino.Model`: a model with those inputs of the segment that it needs. It shares the weights.

    Raises:
        `ValueError`: if `boundaries` does not name all layers of the segment.
    """
    model = segment.clone()
    hidden_states = hidden_states_of(model)
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    attentions = [node for node in model.get_ordered_ops() if node.get_type_name() == ATTENTION]
    inner = [nodes[name] for name in boundaries if name in nodes]
    if len(inner) + 1 < len(attentions):
        raise ValueError(f"the segment has {len(attentions)} layers, but only {len(inner)} boundaries are known")
    for node in inner:
        for target in node.output(0).get_target_inputs():
            if target.get_node().get_type_name() != "Result":
                target.replace_source_output(hidden_states)
    results = [ops.result(node.output(0)) for node in attentions]
    needed = {parameter.get_name() for parameter in parameters_before(results)}
    parameters = [p for p in model.get_parameters() if p.get_name() in needed]
    return ov.Model(results, parameters, f"{model.get_friendly_name()}.copier")
