"""Whether the OpenVINO model of a head is what its configuration says, before anything of it reaches native code."""

import numpy as np
import openvino as ov

from .config import DecoderHeadConfig, EncoderHeadConfig, HeadConfig
from .encoder_ir import ATTENTION_MASK, CERTAINTY
from .ir import HIDDEN_STATES, LAST_HIDDEN_STATES, TOKEN_IDS


# By name, the element type and the shape of a tensor; -1 is a size that is not fixed.
Interface = dict[str, tuple[str, list[int]]]
# Tensors that a transformer block keeps between calls: its keys and its values.
STATES_OF_A_BLOCK = 2


def check_head_model(model: ov.Model, config: HeadConfig) -> None:
    """
    Checks that a head's model takes and gives what a head of its configuration does, and that its words are tokens.

    Args:
        model (`openvino.Model`): as read from its file.
        config ([`HeadConfig`]): what the model says of itself.

    Raises:
        `ValueError`: if it does not; the message says what differs.
    """
    if isinstance(config, DecoderHeadConfig):
        words = len(read_token_ids(model, config.vocab_size))
        inputs, outputs = _of_decoder(config, words)
        states = STATES_OF_A_BLOCK if config.has_block else 0
    else:
        assert isinstance(config, EncoderHeadConfig)
        inputs, outputs = _of_encoder(config)
        states = 0
    _check(model.inputs, inputs, "input")
    _check(model.outputs, outputs, "output")
    if len(model.get_variables()) != states:
        raise ValueError(f"it keeps {len(model.get_variables())} tensors, but a head of its kind keeps {states}")


def read_token_ids(model: ov.Model, vocab_size: int) -> np.ndarray:
    """
    The tokens that a head's words are.

    Args:
        model (`openvino.Model`): of a decoder's head.
        vocab_size (`int`): the number of the decoder's tokens.

    Returns:
        `np.ndarray`: int64 `[words]`.

    Raises:
        `ValueError`: if they are not different tokens of the vocabulary.
    """
    results = [value.get_node() for value in model.outputs if TOKEN_IDS in value.get_names()]
    constant = results[0].input_value(0).get_node() if results else None
    if constant is None or constant.get_type_name() != "Constant":
        raise ValueError(f"it has no constant output `{TOKEN_IDS}`")
    ids = np.asarray(constant.data)
    if ids.dtype != np.int64 or ids.ndim != 1 or not ids.size or len(np.unique(ids)) != ids.size:
        raise ValueError(
            f"`{TOKEN_IDS}` must be a list of different tokens as int64, but it is of type {ids.dtype} and shape"
            f" {ids.shape}, and has {len(np.unique(ids))} different values"
        )
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(
            f"`{TOKEN_IDS}` must be from 0 to {vocab_size - 1}, but they are from {ids.min()} to {ids.max()}"
        )
    return ids


def _of_decoder(config: DecoderHeadConfig, words: int) -> tuple[Interface, Interface]:
    inputs: Interface = {HIDDEN_STATES: ("f32", [-1, -1, config.feature_size])}
    outputs: Interface = {"logits": ("f32", [-1, -1, words]), TOKEN_IDS: ("i64", [words])}
    if config.has_block:
        inputs.update({"position_ids": ("i64", [-1, -1]), "beam_idx": ("i32", [-1])})
    if config.kind == "draft":
        inputs["inputs_embeds"] = ("f32", [-1, -1, config.hidden_size])
        outputs[LAST_HIDDEN_STATES] = ("f32", [-1, -1, config.feature_size])
    return inputs, outputs


def _of_encoder(config: EncoderHeadConfig) -> tuple[Interface, Interface]:
    d, labels = config.hidden_size, config.num_labels
    layouts = {"tokens": [-1, -1, d], "nchw": [-1, d, -1, -1], "nhwc": [-1, -1, -1, d]}
    inputs: Interface = {HIDDEN_STATES: ("f32", layouts[config.layout])}
    if config.masked:
        inputs[ATTENTION_MASK] = ("i64", [-1, -1])
    given: dict[str, Interface] = {
        "pooled": {"logits": ("f32", [-1, labels])},
        "token": {"logits": ("f32", [-1, -1, labels])},
        "span": {name: ("f32", [-1, -1]) for name in ("start_logits", "end_logits")},
        "features": {"last_hidden_state": ("f32", [-1, -1, d])},
    }
    return inputs, {**given[config.kind], **({CERTAINTY: ("f32", [-1, 1])} if config.certainty else {})}


def _check(values: list[ov.Output], expected: Interface, what: str) -> None:
    found = {name: value for value in values for name in value.get_names() if name in expected}
    if len(values) != len(expected) or set(found) != set(expected):
        names = [sorted(value.get_names()) for value in values]
        raise ValueError(f"it must have the {what}s {sorted(expected)}, but has those called {names}")
    for name, (element_type, sizes) in expected.items():
        shape = found[name].get_partial_shape()
        type_name = found[name].get_element_type().to_string()
        fits = shape.rank.is_static and len(shape) == len(sizes) and all(map(_fits, shape, sizes))
        # A head is given any number of samples and tokens; what it gives may have sizes that follow from its graph.
        fits = fits and (what == "output" or all(shape[axis].is_dynamic for axis, n in enumerate(sizes) if n == -1))
        if type_name != element_type or not fits:
            raise ValueError(
                f"its {what} `{name}` must be of type {element_type} and shape {sizes} (-1 is any size), but it is of"
                f" type {type_name} and shape {shape}"
            )


def _fits(dimension: ov.Dimension, size: int) -> bool:
    return size == -1 or bool(dimension == size)
