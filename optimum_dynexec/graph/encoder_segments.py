"""Cuts an encoder, or a vision or audio model, into segments at the hidden states between its layers.

All layers share some tensors: an attention mask in the form that they need, relative position biases. Each segment
that needs such a tensor computes it from the small inputs of the model. This costs little, and it stays correct when
samples leave the batch or padding is removed. The computation often begins with the shape of a tensor before the
boundary, which a later segment must not need. Where OpenVINO's symbols show that a dimension of that tensor is a
dimension of the hidden states or of an input, it is read from there.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Dimension, Model, Node, PartialShape, Symbol

from .boundaries import shared_nodes
from .encoder_boundaries import ENCODER_ATTENTION_TYPES, main_input
from .errors import NotSegmentableError
from .segments import HIDDEN_STATES, parameters_of
from .walks import nodes_before


# The dimensions of a tensor that are known: a size, or a symbol that equal dimensions share.
_Shape = list[int | Symbol | None]


@dataclass(frozen=True)
class EncoderSegments:
    """
    The segments of a model.

    Args:
        models (`list[openvino.Model]`):
            The segments, in order. All but the first take `dynexec.hidden_states`. All but the last have one output,
            the hidden states at their boundary; the last one has the outputs of the model. They may take every input
            of the model except the main one (`input_ids`, `pixel_values`, `input_values`).
        sequence_inputs (`list[str]`): inputs of the model whose second dimension is the length of the hidden states.
        outputs_are_sequences (`bool`): whether this length is also the second dimension of the model's outputs.
    """

    models: list[Model]
    sequence_inputs: list[str]
    outputs_are_sequences: bool


def cut_encoder(model: Model, boundaries: Sequence[str], image_size: tuple[int, int] | None = None) -> EncoderSegments:
    """
    Cuts `model` after each node named in `boundaries`. The segments share the weights.

    Args:
        model (`openvino.Model`):
            The model as exported. It is not changed.
        boundaries (`Sequence[str]`):
            Friendly names of the nodes to cut after, in the order of execution.
        image_size (`tuple[int, int]`, *optional*):
            Height and width of images. Some models (Swin) can be cut for one size only; the segments then accept no
            other.

    Raises:
        [`~graph.errors.NotSegmentableError`]: if the model does not have a node of a name, the names are not in the
            order of execution, or a layer after a boundary needs another tensor from before the boundary.
    """
    try:
        return _cut(model, boundaries)
    except NotSegmentableError:
        if image_size is None or _name(main_input(model)) != "pixel_values":
            raise
        sized = model.clone()
        shape = main_input(sized).get_partial_shape()
        sized.reshape({"pixel_values": PartialShape([shape[0], shape[1], *image_size])})
        return _cut(sized, boundaries)


def _cut(model: Model, boundaries: Sequence[str]) -> EncoderSegments:
    labels = _label(model)
    missing = [name for name in boundaries if name not in labels.nodes]
    if missing:
        raise NotSegmentableError(
            f"it has no node named {missing}: its dynexec_config.json is for another model, so export it again"
        )
    ends: list[str | None] = [*boundaries, None]
    models = [_segment(model, labels, ends[index - 1] if index else None, end) for index, end in enumerate(ends)]
    length = _length(labels.nodes[boundaries[0]]) if boundaries else None
    sequences = [name for name, shape in labels.inputs.items() if len(shape) == 2 and _same(shape[1], length)]
    along = all(len(shape) > 1 and _same(shape[1], length) for shape in labels.outputs)
    return EncoderSegments(models, sequences, bool(sequences) and along)


@dataclass(frozen=True)
class _Labels:
    """Shapes with symbols: of nodes and inputs by friendly name, and of the outputs."""

    nodes: dict[str, _Shape]
    inputs: dict[str, _Shape]
    outputs: list[_Shape]


def _label(model: Model) -> _Labels:
    """Gives each dynamic dimension of the inputs a symbol and lets OpenVINO's shape inference propagate it."""
    model = model.clone()
    batch, length = Symbol(), Symbol()
    texts = {"attention_mask", "input_ids", "token_type_ids", "position_ids"}
    for value in model.inputs:
        parameter = value.get_node()
        shape = parameter.get_partial_shape()
        own = [batch, length] if texts & value.get_names() else [batch]
        own += [Symbol() for _ in range(len(shape) - len(own))]
        parameter.set_partial_shape(_with_symbols(shape, own))
    model.validate_nodes_and_infer_types()
    results = model.get_results()
    anchored = _anchor(model) if any(node.get_type_name() == "ShapeOf" for node in model.get_ops()) else {}
    names = Counter(node.get_friendly_name() for node in model.get_ops())
    nodes = {
        node.get_friendly_name(): _read(node.get_output_partial_shape(0))
        for node in model.get_ops()
        if node.get_output_size() == 1 and names[node.get_friendly_name()] == 1
    }
    inputs = {value.get_any_name(): _read(value.get_partial_shape()) for value in model.inputs if value.get_names()}
    return _Labels({**nodes, **anchored}, inputs, [_read(result.get_output_partial_shape(0)) for result in results])


def _anchor(model: Model) -> dict[str, _Shape]:
    """
    Shape inference can lose the symbol of a dimension of the hidden states, for example where a convolution changes
    the length. The dimension then gets a new symbol. Returns the shapes of the nodes where this happens.
    """
    shared, _, _ = shared_nodes(model, main_input(model), list(model.get_results()), ENCODER_ATTENTION_TYPES)
    anchored = {}
    for node in shared:
        if node.get_type_name() in ("Parameter", "Result") or node.get_output_size() != 1:
            continue
        shape = node.get_output_partial_shape(0)
        if shape.rank.is_dynamic or all(dimension.is_static or dimension.has_symbol() for dimension in shape):
            continue
        known = [dimension.get_symbol() if dimension.has_symbol() else Symbol() for dimension in shape]
        place = ops.parameter(_with_symbols(shape, known), node.get_output_element_type(0))
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(place.output(0))
        model.add_parameters([place])
        # Keeps the nodes before it in the model, so that their shapes stay known.
        model.add_results([ops.result(node.output(0))])
        model.validate_nodes_and_infer_types()
        anchored[node.get_friendly_name()] = _read(place.get_partial_shape())
    return anchored


def _segment(model: Model, labels: _Labels, start: str | None, end: str | None) -> Model:
    model = model.clone()
    main = main_input(model)
    parameters = list(model.get_parameters())
    nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    hidden: Node | None = None
    if start is not None:
        output = nodes[start].output(0)
        hidden = ops.parameter(output.get_partial_shape(), output.get_element_type(), name=HIDDEN_STATES)
        hidden.output(0).set_names({HIDDEN_STATES})
        for target in output.get_target_inputs():
            taken = hidden
            if target.get_node().get_type_name() == "Result":
                # Here the hidden states are the model's output. An input and an output of one tensor would share a
                # name.
                taken = ops.convert(hidden, output.get_element_type())
                taken.output(0).set_names(output.get_names())
            target.replace_source_output(taken.output(0))
        parameters.append(hidden)
    if end is None:
        results = list(model.get_results())
    else:
        results = [ops.result(nodes[end].output(0))]
        results[0].output(0).set_names({HIDDEN_STATES})
    if hidden is not None and start is not None:
        _take_shapes_from(hidden, labels, start, results, [node for node in parameters if node is not main], main)
    needed = parameters_of(results, parameters)
    names = [node.get_name() for node in needed]
    if (main.get_name() in names) != (start is None) or (hidden is not None and hidden.get_name() not in names):
        raise NotSegmentableError(
            f"the layers after {start!r} need another tensor from before it than the hidden states"
        )
    return Model(results, needed, f"{model.get_friendly_name()}.{start or 'start'}")


def _take_shapes_from(
    hidden: Node, labels: _Labels, start: str, results: list[Node], parameters: list[Node], main: Node
) -> None:
    """Replaces the shapes of tensors before the boundary that a segment needs by shapes that it can read itself."""
    sources = [(hidden, labels.nodes[start])]
    for parameter in parameters:
        for name in parameter.output(0).get_names() & set(labels.inputs):
            sources.append((parameter, labels.inputs[name]))
    for node in nodes_before(results):
        if node.get_type_name() != "ShapeOf":
            continue
        value = node.input_value(0)
        if main.get_name() not in {found.get_name() for found in nodes_before([value.get_node()])}:
            continue
        shape = labels.nodes.get(value.get_node().get_friendly_name())
        found = None if shape is None else _shape_from(shape, sources, node.get_output_element_type(0))
        if found is not None:
            node.output(0).replace(found.output(0))


def _shape_from(shape: _Shape, sources: list[tuple[Node, _Shape]], element_type: ov.Type) -> Node | None:
    parts = []
    for dimension in shape:
        if isinstance(dimension, int):
            parts.append(ops.constant([dimension], element_type))
            continue
        places = (
            (node, axis)
            for node, known in sources
            for axis, candidate in enumerate(known)
            if _same(candidate, dimension)
        )
        place = next(places, None)
        if place is None:
            return None
        whole = ops.shape_of(place[0], element_type)
        parts.append(ops.gather(whole, ops.constant([place[1]], np.int64), ops.constant(0, np.int64)))
    return ops.concat(parts, 0) if parts else None


def _with_symbols(shape: PartialShape, symbols: Sequence[Symbol]) -> PartialShape:
    dimensions = []
    for dimension, symbol in zip(shape, symbols, strict=True):
        if dimension.is_dynamic:
            # A copy: the shape's own dimension may belong to another node.
            dimension = Dimension(dimension.get_min_length(), dimension.get_max_length())
            dimension.set_symbol(symbol)
        dimensions.append(dimension)
    return PartialShape(dimensions)


def _read(shape: PartialShape) -> _Shape:
    if shape.rank.is_dynamic:
        return []
    return [
        dimension.get_length() if dimension.is_static else dimension.get_symbol() if dimension.has_symbol() else None
        for dimension in shape
    ]


def _same(first: int | Symbol | None, second: int | Symbol | None) -> bool:
    return isinstance(first, Symbol) and isinstance(second, Symbol) and bool(first == second)


def _name(parameter: Node) -> str:
    return parameter.output(0).get_any_name()


def _length(hidden_states: _Shape) -> int | Symbol | None:
    return hidden_states[1] if len(hidden_states) == 3 else None
