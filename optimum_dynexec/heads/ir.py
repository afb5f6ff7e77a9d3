"""The OpenVINO model of a head. A kind is a function and a line in the registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset13 as ops

from ..native import _C
from .config import DECODER_KINDS, DecoderHeadConfig, EncoderHeadConfig, HeadConfig
from .encoder_ir import build_encoder_head_ir
from .ir_layers import Weights, linear, rms_norm, transformer_block
from .tensors import check_tensors


HIDDEN_STATES = _C.HIDDEN_STATES
LAST_HIDDEN_STATES = _C.LAST_HIDDEN_STATES
TOKEN_IDS = "dynexec.token_ids"
# The entry of an IR that contains the configuration of the head.
RT_INFO = ["dynexec", "head"]
WEIGHT_FORMATS = ("fp32", "int8")


@dataclass
class _Body:
    """The result of a kind before the norm and the unembedding: `output` `[batch, length, hidden_size]`."""

    output: Node
    inputs: list[Node]
    state: list[Node]


def _norm(config: DecoderHeadConfig, weights: Weights) -> _Body:
    h = _input(HIDDEN_STATES, np.float32, [-1, -1, config.hidden_size])
    return _Body(h, [h], [])


def _adapter(config: DecoderHeadConfig, weights: Weights) -> _Body:
    h = _input(HIDDEN_STATES, np.float32, [-1, -1, config.hidden_size])
    change = linear(ops.swish(linear(h, weights, "down.weight")), weights, "up.weight")
    return _Body(ops.add(h, change), [h], [])


def _block(config: DecoderHeadConfig, weights: Weights) -> _Body:
    h = _input(HIDDEN_STATES, np.float32, [-1, -1, config.hidden_size])
    positions, beams = _input("position_ids", np.int64, [-1, -1]), _input("beam_idx", np.int32, [-1])
    g, state = transformer_block(h, positions, beams, weights, config)
    return _Body(g, [h, positions, beams], state)


def _draft(config: DecoderHeadConfig, weights: Weights) -> _Body:
    e = _input("inputs_embeds", np.float32, [-1, -1, config.hidden_size])
    h = _input(HIDDEN_STATES, np.float32, [-1, -1, config.feature_size])
    positions, beams = _input("position_ids", np.int64, [-1, -1]), _input("beam_idx", np.int32, [-1])
    *layers, last = _parts(h, config)
    both = [
        rms_norm(e, weights, "norm_embedding.weight", config.norm_eps),
        rms_norm(last, weights, "norm_hidden.weight", config.norm_eps),
    ]
    x = linear(ops.concat(both, -1), weights, "fc.weight")
    if layers:
        normed = [
            rms_norm(states, weights, f"norm_layers.{i}.weight", config.norm_eps) for i, states in enumerate(layers)
        ]
        x = ops.add(x, linear(ops.concat(normed, -1), weights, "fc_layers.weight"))
    g, state = transformer_block(x, positions, beams, weights, config)
    return _Body(g, [e, h, positions, beams], state)


BODIES: dict[str, Callable[[DecoderHeadConfig, Weights], _Body]] = {
    "norm": _norm,
    "adapter": _adapter,
    "block": _block,
    "draft": _draft,
}


def build_head_ir(
    config: HeadConfig,
    tensors: Mapping[str, np.ndarray],
    unembedding: np.ndarray | None = None,
    *,
    weight_format: str = "fp32",
) -> ov.Model:
    """
    Makes the OpenVINO model of a decoder's head, which runs on its own. For heads of encoders, see
    [`~heads.encoder_ir.build_encoder_head_ir`].

    The inputs of a decoder's head are `dynexec.hidden_states` float32 `[batch, length, feature_size]`; for the
    kinds with a transformer block, whose KV cache is state, `position_ids` int64 `[batch, length]` and `beam_idx`
    int32 `[batch]`; for the draft head the next tokens' `inputs_embeds`, float32 `[batch, length, hidden_size]`.
    The outputs are `logits`, float32 `[batch, length, words]`; for the draft head `dynexec.last_hidden_states`,
    which replace the hidden states of the backbone while it drafts, with zeros for its feature layers; and the
    constant
    `dynexec.token_ids`, int64 `[words]`: the token id of each logit.

    Args:
        config ([`DecoderHeadConfig`]):
            Configuration of the head.
        tensors (`Mapping[str, np.ndarray]`):
            Tensors of the head by name, as [`~heads.storage.load_head`] returns them.
        unembedding (`np.ndarray` of shape `(vocab_size, hidden_size)`, *optional*):
            The backbone's unembedding. Required if the head shares it.
        weight_format (`str`, *optional*, defaults to `"fp32"`):
            `"fp32"`, or `"int8"`: symmetric 8-bit matrices with one scale per row.

    Raises:
        `ValueError`: if a tensor is missing, is unknown or has another shape than `config` requires.
    """
    if weight_format not in WEIGHT_FORMATS:
        raise ValueError(f"`weight_format` must be one of {list(WEIGHT_FORMATS)}, got {weight_format!r}")
    check_tensors(config, tensors)
    if isinstance(config, EncoderHeadConfig):
        model = build_encoder_head_ir(config, tensors, weight_format=weight_format)
        model.set_rt_info(config.to_json(), RT_INFO)
        return model
    assert isinstance(config, DecoderHeadConfig)
    token_ids = np.ascontiguousarray(tensors["token_ids"], np.int64)
    if config.shares_unembedding:
        tensors = {**tensors, "unembedding.weight": _rows(config, unembedding, token_ids)}
    weights = Weights(tensors, weight_format == "int8")
    body = BODIES[config.kind](config, weights)
    words = linear(rms_norm(body.output, weights, "norm.weight", config.norm_eps), weights, "unembedding.weight")
    outputs = [_output("logits", words)]
    if config.kind == "draft":
        outputs.append(_output(LAST_HIDDEN_STATES, _as_features(body.output, config)))
    outputs.append(_output(TOKEN_IDS, ops.constant(token_ids)))
    model = ov.Model(outputs, body.state, body.inputs, config.name)
    model.set_rt_info(config.to_json(), RT_INFO)
    return model


def head_config(model: ov.Model) -> HeadConfig:
    """
    Reads the configuration of a head from its model.

    Args:
        model (`openvino.Model`):
            A model from [`build_head_ir`], or read from its file.

    Raises:
        `ValueError`: if the model is not a head.
    """
    if not model.has_rt_info(RT_INFO):
        raise ValueError(
            f"the model {model.get_friendly_name()!r} is not a head: it contains no configuration of a head"
        )
    return HeadConfig.from_json(model.get_rt_info(RT_INFO).astype(str))


def decoder_head_config(model: ov.Model) -> DecoderHeadConfig:
    """
    The configuration of a decoder's head.

    Args:
        model (`openvino.Model`):
            A model from [`build_head_ir`], or read from its file.

    Raises:
        `ValueError`: if the model is not a head, or is the head of an encoder.
    """
    config = head_config(model)
    if not isinstance(config, DecoderHeadConfig):
        raise ValueError(
            f"a decoder needs a head of one of the kinds {list(DECODER_KINDS)}, but this head is {config.kind!r}"
        )
    return config


def _parts(h: Node, config: DecoderHeadConfig) -> list[ov.Output]:
    """The hidden states of each feature layer, and the last hidden states."""
    if not config.feature_layers:
        return [h.output(0)]
    return ops.split(h, np.int64(-1), len(config.feature_layers) + 1).outputs()


def _as_features(own: Node, config: DecoderHeadConfig) -> Node:
    """
    The hidden states of the head in the form that it reads: the parts of the feature layers are unknown and zero.
    """
    if not config.feature_layers:
        return own
    zeros = ops.constant(np.array([0, 0, config.feature_size - config.hidden_size], np.int64))
    return ops.pad(own, zeros, ops.constant(np.zeros(3, np.int64)), "constant")


def _rows(config: DecoderHeadConfig, unembedding: np.ndarray | None, token_ids: np.ndarray) -> np.ndarray:
    expected = (config.vocab_size, config.hidden_size)
    if unembedding is None:
        raise ValueError(f"the {config.name} shares the backbone's unembedding: pass it as `unembedding`")
    if unembedding.shape != expected:
        raise ValueError(
            f"the {config.name} was made for an unembedding of shape {expected}, but the backbone's is "
            f"{unembedding.shape}"
        )
    return unembedding[token_ids]


def _input(name: str, element_type: type, shape: list[int]) -> Node:
    parameter = ops.parameter(shape, element_type, name=name)
    parameter.output(0).set_names({name})
    return parameter


def _output(name: str, node: Node) -> Node:
    result = ops.result(node)
    result.output(0).set_names({name})
    return result
