"""Writes an early-exit network as one OpenVINO model with `If` operators, for runtimes without this library."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model, Node

from ..directory.attached_heads import exit_heads
from ..directory.config import DynExecConfig
from ..directory.loading import read_export
from ..directory.staging import staged_directory
from ..early_exit.config import EarlyExitConfig
from ..graph.encoder_segments import cut_encoder
from ..heads.encoder_ir import ATTENTION_MASK, HIDDEN_STATES
from .annotate import image_size_of


SINGLE_IR = "openvino_early_exit_model"
EXIT_LAYER = "exit_layer"


def export_single_ir(directory: str | Path, early_exit: EarlyExitConfig | str = "calibrated") -> Path:
    """
    Writes `openvino_early_exit_model.xml` and `.bin` next to a classifier: one model that contains the classifier, its
    exit heads and the decisions between them. It contains a second copy of the weights.

    Args:
        directory (`str` or `Path`):
            Directory of an export with exit heads, for text, image or audio classification.
        early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*, defaults to `"calibrated"`):
            The thresholds; the criterion is `"max_prob"`. `"calibrated"`: the thresholds in `dynexec_config.json`.

    Returns:
        `Path`: the `.xml` file.

    Raises:
        `ValueError`: if the task or the criterion is not supported, or the model has no exit heads.
        [`~directory.errors.CalibrationError`]: if there is no calibration, or it belongs to another model.
    """
    from ..directory.calibrated_exit import resolve_early_exit

    directory = Path(directory)
    config = DynExecConfig.from_pretrained(directory)
    if not config.task.endswith("classification") or config.task == "token-classification":
        raise ValueError(
            f"a single IR needs a model for text, image or audio classification, but the task is {config.task!r}"
        )
    early_exit = resolve_early_exit(early_exit, directory)
    if early_exit.deadline_ms is not None:
        raise ValueError("a single IR cannot measure time: leave out `deadline_ms`")
    if early_exit.criterion != "max_prob":
        raise ValueError(f"a single IR needs the criterion 'max_prob', but it is {early_exit.criterion!r}")
    model, config, found = read_export(directory)
    heads = exit_heads(found)
    layers = list(heads)
    given = dict(zip(layers, early_exit.thresholds_for(layers), strict=True))
    thresholds = {layer: threshold for layer, threshold in given.items() if np.isfinite(threshold)}
    single = build_single_ir(model, config.hidden_state_names, heads, thresholds, image_size_of(directory))
    with staged_directory(directory, keep_others=True) as staging:
        ov.save_model(single, staging / f"{SINGLE_IR}.xml", compress_to_fp16=False)
    return directory / f"{SINGLE_IR}.xml"


def build_single_ir(
    model: Model,
    boundaries: Mapping[int, str],
    heads: Mapping[int, Model],
    thresholds: Mapping[int, float],
    image_size: tuple[int, int] | None = None,
) -> Model:
    """
    Makes one model of a classifier and its exits. A batch leaves at the first exit where the largest probability of
    each sample is at least the threshold (criterion `max_prob`). With one sample, this is where the engine leaves too.

    It has the inputs and outputs of the model, and the output `exit_layer` int64 `[1]`: the layer of the exit.

    Args:
        model (`openvino.Model`):
            A classifier as optimum-intel exports it. It is not changed.
        boundaries (`Mapping[int, str]`):
            For each layer, the friendly name of the node after it.
        heads (`Mapping[int, openvino.Model]`):
            Exit heads of kind `"pooled"` by their layer.
        thresholds (`Mapping[int, float]`):
            Thresholds for layers with a head. Nothing leaves at other layers.
        image_size (`tuple[int, int]`, *optional*):
            Height and width of images, for models that can be cut for one size only.

    Raises:
        [`~graph.errors.NotSegmentableError`]: if the model cannot be cut there.
        `ValueError`: if there is no threshold, or a threshold is for a layer without a head.
    """
    layers = sorted(thresholds)
    unknown = [layer for layer in layers if layer not in heads]
    if unknown or not layers:
        raise ValueError(
            f"`thresholds` must be for layers with an exit head, {sorted(heads)}, but they are for {layers}"
        )
    segments = cut_encoder(model, [boundaries[layer] for layer in layers], image_size).models
    last = len(boundaries) - 1
    body = _with_exit_layer(segments[-1], last)
    for index in reversed(range(len(layers))):
        layer = layers[index]
        body = _with_exit(segments[index], heads[layer].clone(), body, layer, thresholds[layer])
    body.set_friendly_name(model.get_friendly_name())
    return body


def _with_exit(segment: Model, head: Model, rest: Model, layer: int, threshold: float) -> Model:
    """The model that runs a segment and the head after it, and `rest` if the head is not confident enough."""
    inputs = {_name(value): value.get_node() for value in segment.inputs}
    hidden_states = segment.outputs[0].get_node().input_value(0)
    for value in [*head.inputs, *rest.inputs]:
        name = _name(value)
        if name != HIDDEN_STATES and name not in inputs:
            inputs[name] = _parameter(name, value.get_partial_shape(), value.get_element_type())
    _feed(head, {**{name: node.output(0) for name, node in inputs.items()}, HIDDEN_STATES: hidden_states})
    logits = head.output("logits").get_node().input_value(0)
    sure = ops.reduce_max(ops.softmax(logits, -1), ops.constant(-1, np.int64), keep_dims=False)
    surest = ops.reduce_min(sure, ops.constant(0, np.int64), keep_dims=False)
    leaves = ops.greater_equal(surest, ops.constant(np.float32(threshold)))

    said = _parameter("logits", logits.get_partial_shape(), logits.get_element_type())
    here = Model([_result("logits", said), _layer_result(layer)], [said], f"exit_{layer}")
    branch = ops.if_op(leaves.output(0))
    branch.set_then_body(here)
    branch.set_else_body(rest)
    branch.set_input(logits, said, None)
    for value in rest.inputs:
        name = _name(value)
        source = hidden_states if name == HIDDEN_STATES else inputs[name].output(0)
        branch.set_input(source, None, value.get_node())
    outputs = [
        branch.set_output(mine, other)
        for mine, other in zip(here.get_results(), _ordered(rest, ("logits", EXIT_LAYER)), strict=True)
    ]
    results = [_result(name, value) for name, value in zip(("logits", EXIT_LAYER), outputs, strict=True)]
    return Model(results, list(inputs.values()), segment.get_friendly_name())


def _with_exit_layer(segment: Model, layer: int) -> Model:
    logits = segment.output("logits").get_node()
    return Model([logits, _layer_result(layer)], segment.get_parameters(), segment.get_friendly_name())


def _ordered(model: Model, names: Sequence[str]) -> list[Node]:
    return [model.output(name).get_node() for name in names]


def _feed(model: Model, values: Mapping[str, ov.Output]) -> None:
    """Replaces the inputs of a model by outputs of another model."""
    for value in model.inputs:
        value.get_node().output(0).replace(values[_name(value)])


def _parameter(name: str, shape: ov.PartialShape, element_type: ov.Type) -> Node:
    parameter = ops.parameter(shape, element_type, name=name)
    parameter.output(0).set_names({name})
    return parameter


def _result(name: str, value: Node | ov.Output) -> Node:
    result = ops.result(value)
    result.output(0).set_names({name})
    return result


def _layer_result(layer: int) -> Node:
    return _result(EXIT_LAYER, ops.constant(np.array([layer], np.int64)))


def _name(value: ov.Output) -> str:
    names = value.get_names()
    return next((name for name in (HIDDEN_STATES, ATTENTION_MASK) if name in names), value.get_any_name())
