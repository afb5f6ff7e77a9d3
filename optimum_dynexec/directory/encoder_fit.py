"""The properties that the graph of an encoder or vision model requires of its exit heads."""

from dataclasses import dataclass

import openvino as ov

from ..heads.config import EncoderHeadConfig
from .config import DynExecConfig


# The kind of head whose outputs are those of a model for the task.
KIND_OF_TASK = {
    "text-classification": "pooled",
    "image-classification": "pooled",
    "audio-classification": "pooled",
    "token-classification": "token",
    "question-answering": "span",
    "feature-extraction": "features",
}


@dataclass(frozen=True)
class ExitShape:
    """
    The properties that an exit head at a layer must have.

    Args:
        kind (`str`): kind of the head, see [`EncoderHeadConfig`].
        hidden_size (`int`): width of the hidden states after the layer.
        layout (`str`): layout of the hidden states: `"tokens"`, `"nchw"` or `"nhwc"`.
        num_labels (`int`): number of values that the head gives per sample or per token.
    """

    kind: str
    hidden_size: int
    layout: str
    num_labels: int


def exit_shape(model: ov.Model, config: DynExecConfig, layer: int) -> ExitShape:
    """
    Finds the properties that an exit head at a layer must have.

    Args:
        model (`openvino.Model`): exported encoder.
        config ([`DynExecConfig`]): configuration of the model.
        layer (`int`): layer whose hidden states the head reads; the first is 0.

    Raises:
        `ValueError`: if the model has no exit after the layer, or no head takes hidden states of their shape.
    """
    layers = len(config.hidden_state_names)
    if not 0 <= layer < layers - 1:
        raise ValueError(f"it is for layer {layer}, but the model with {layers} layers has no such exit")
    name = config.hidden_state_names[layer]
    nodes = [node for node in model.get_ops() if node.get_friendly_name() == name]
    if len(nodes) != 1:
        raise ValueError(f"the model has {len(nodes)} nodes named {name!r}: it and its dynexec_config.json disagree")
    shape = nodes[0].get_output_partial_shape(0)
    layout, axis = _layout(shape, nodes[0])
    output = model.outputs[0].get_partial_shape()
    kind = KIND_OF_TASK[config.task]
    hidden_size = shape[axis].get_length()
    num_labels = {"span": 2, "features": hidden_size}.get(kind)
    if num_labels is None:
        num_labels = output[-1].get_length()
    return ExitShape(kind, hidden_size, layout, num_labels)


def check_fits_encoder(head: EncoderHeadConfig, model: ov.Model, config: DynExecConfig) -> None:
    """
    Checks that a head fits a model.

    Args:
        head ([`EncoderHeadConfig`]): configuration of the head.
        model (`openvino.Model`): exported encoder.
        config ([`DynExecConfig`]): configuration of the model.

    Raises:
        `ValueError`: if the head does not fit; the message says what differs.
    """
    assert head.layer is not None
    shape = exit_shape(model, config, head.layer)
    for name in ("kind", "hidden_size", "layout", "num_labels"):
        found, needed = getattr(head, name), getattr(shape, name)
        if found != needed:
            raise ValueError(f"its `{name}` is {found!r}, but layer {head.layer} of the model needs {needed!r}")
    if config.task == "text-classification" and head.pooling == "mean" and not head.masked:
        raise ValueError("it pools over padding too: a text's head with `pooling='mean'` needs `masked=True`")
    if head.masked and not any("attention_mask" in value.get_names() for value in model.inputs):
        raise ValueError("it pools by an attention mask, but the model takes none")


def _layout(shape: ov.PartialShape, node: ov.Node) -> tuple[str, int]:
    if shape.rank.is_static and len(shape) == 3 and shape[2].is_static:
        return "tokens", 2
    if shape.rank.is_static and len(shape) == 4 and shape[1].is_static:
        return "nchw", 1
    if shape.rank.is_static and len(shape) == 4 and shape[3].is_static:
        return "nhwc", 3
    raise ValueError(f"the hidden states of {node.get_friendly_name()!r} have the shape {shape}, which no head takes")
