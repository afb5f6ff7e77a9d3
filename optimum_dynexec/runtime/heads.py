"""Compiles heads for the engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino import Model
from openvino._offline_transformations import paged_attention_transformation

from ..graph.backbone import embeddings
from ..graph.merged_products import merge_products
from ..graph.paged import select_logits
from ..heads.ir import HIDDEN_STATES, TOKEN_IDS, decoder_head_config
from ..heads.weight_formats import is_compressed
from ..native import _C


EMBEDDINGS = "inputs_embeds"


@dataclass(frozen=True)
class CompiledHead:
    """
    A compiled head.

    Args:
        paged_model (`_C.PagedModel`): compiled model. It has its own KV cache if the head has a transformer block.
        token_ids (`list[int]`): token id of each logit.
        kind (`str`): kind of the head, as in [`~heads.HeadConfig`].
        layer (`int`, *optional*): layer whose hidden states an exit head reads; `None` for the draft head.
        stop_classifier (`tuple[float, ...]`, *optional*):
            weights and bias of the classifier that ends drafts, as in [`~heads.DecoderHeadConfig`].
    """

    paged_model: _C.PagedModel
    token_ids: list[int]
    kind: str
    layer: int | None
    stop_classifier: tuple[float, ...] | None = None

    @cached_property
    def native(self) -> _C.Head:
        """The head in the form of the decode loop, `_C.Head`."""
        return _C.Head(self.paged_model, self.token_ids, self.stop_classifier)


def compile_head(
    model: Model,
    backbone: Model,
    device: str,
    ov_config: Mapping[str, str],
    max_cache_tokens: int | None = None,
    given_size: int | None = None,
) -> CompiledHead:
    """
    Compiles a head for the engine.

    Args:
        model (`openvino.Model`):
            Head from [`~heads.ir.build_head_ir`] or its file. It is not changed.
        backbone (`openvino.Model`):
            Exported decoder that the head belongs to. It is not changed.
        device (`str`):
            OpenVINO device to run on.
        ov_config (`Mapping[str, str]`):
            OpenVINO properties for compilation.
        max_cache_tokens (`int`, *optional*):
            Maximum number of tokens in the head's KV cache. If not set, the cache grows as needed.
        given_size (`int`, *optional*):
            Number of values that the head receives for each token; see [`prepare_head`].

    Raises:
        `ValueError`: if the head does not match the backbone.
    """
    config = decoder_head_config(model)
    paged, token_ids = prepare_head(model, backbone, given_size)
    merge_products(paged)
    compiled = ov.Core().compile_model(paged, device, dict(ov_config))
    paged_model = _C.PagedModel([compiled], max_cache_tokens or 0)
    return CompiledHead(paged_model, token_ids, config.kind, config.layer, config.stop_classifier)


def default_ov_config(model: Model, device: str) -> dict[str, str]:
    """
    The OpenVINO properties that made heads fastest in measurements.

    Args:
        model (`openvino.Model`):
            Head.
        device (`str`):
            OpenVINO device to run on.
    """
    # Compressed weights are multiplied directly. Conversions to bfloat16 would only slow this down.
    has_bf16 = "BF16" in ov.Core().get_property(device, "OPTIMIZATION_CAPABILITIES")
    return {"INFERENCE_PRECISION_HINT": "bf16" if has_bf16 and not is_compressed(model) else "f32"}


def prepare_head(model: Model, backbone: Model, given_size: int | None = None) -> tuple[Model, list[int]]:
    """
    Converts a head to the form that the engine runs, for `n` tokens of several sequences laid end to end.

    Its inputs are `dynexec.hidden_states` float32 `[n, 1, feature_size]` and `dynexec.logits_indices` int64 `[rows]`;
    with a transformer block, also `position_ids` int64 `[n]` and those of PagedAttention; for the draft head also
    `input_ids` int64 `[n]`. Its outputs are `logits` float32 `[rows, 1, words]`, and for the draft head
    `dynexec.last_hidden_states` float32 `[n, 1, feature_size]`.

    Args:
        model (`openvino.Model`):
            Head from [`~heads.ir.build_head_ir`] or its file. It is not changed.
        backbone (`openvino.Model`):
            Exported decoder that the head belongs to. It is not changed. The draft head shares its embedding.
        given_size (`int`, *optional*):
            Number of values that the head receives for each token, of which it reads the first ones. If not set: the
            number that it reads.

    Returns:
        `tuple`: the model, and the token id of each logit of the head.

    Raises:
        `ValueError`: if the head does not match the backbone.
    """
    config = decoder_head_config(model)
    paged = model.clone()
    tokens = paged.output(TOKEN_IDS).get_node()
    token_ids = [int(token) for token in tokens.input_value(0).get_node().data]
    paged.remove_result(tokens)
    if config.has_block:
        _page(paged)
    if config.kind == "draft":
        _look_up(paged, backbone, config.hidden_size)
    _put_tokens_first(paged, config.feature_size, given_size or config.feature_size)
    select_logits(paged)
    return paged, token_ids


def _page(model: Model) -> None:
    """Turns the head's attention into a paged attention."""
    # OpenVINO's transformation needs an input of this name. It changes the input, which is undone afterwards.
    if not _has_input(model, EMBEDDINGS):
        _rename(model.input(HIDDEN_STATES).get_node(), EMBEDDINGS)
        paged_attention_transformation(model)
        _rename(model.input(EMBEDDINGS).get_node(), HIDDEN_STATES)
    else:
        paged_attention_transformation(model)


def _look_up(model: Model, backbone: Model, hidden_size: int) -> None:
    """Makes token ids the input of the draft head, which looks them up in the backbone's embedding."""
    found = embeddings(backbone)
    if found.get_partial_shape()[-1] != hidden_size:
        raise ValueError(
            f"the draft head was made for embeddings of size {hidden_size}, but the backbone's have "
            f"{found.get_partial_shape()[-1]}"
        )
    ids = backbone.input("input_ids").get_node()
    # A clone shares the weights, but not the nodes.
    table = ov.Model([ops.result(found)], [ids], "embedding").clone()
    (ids,) = table.get_parameters()
    value = table.get_results()[0].input_value(0)
    taken = ops.parameter([-1], ids.get_element_type(), name="input_ids")
    ids.output(0).replace(ops.unsqueeze(taken, np.int64(1)).output(0))
    _replace_input(model, EMBEDDINGS, taken, ops.convert(value, "f32"))


def _put_tokens_first(model: Model, feature_size: int, given_size: int) -> None:
    """Makes the hidden states have the backbone's form, one token per batch row: `[n, 1, given_size]`."""
    taken = ops.parameter([-1, 1, given_size], np.float32, name=HIDDEN_STATES)
    read = taken
    if given_size != feature_size:
        start, stop, step, axis = (np.array([value]) for value in (0, feature_size, 1, 2))
        read = ops.slice(taken, start, stop, step, axis)
    _replace_input(model, HIDDEN_STATES, taken, read)


def _replace_input(model: Model, name: str, parameter: ov.Node, value: ov.Node) -> None:
    """Replaces an input by a new parameter and the nodes that convert it."""
    old = model.input(name).get_node()
    targets = [target.get_node() for target in old.output(0).get_target_inputs()]
    # The transformation leaves its own reshape after the input that it knows.
    place = targets[0] if [node.get_type_name() for node in targets] == ["Unsqueeze"] else old
    place.output(0).replace(value.output(0))
    model.remove_parameter(old)
    parameter.output(0).set_names({parameter.get_friendly_name()})
    model.add_parameters([parameter])
    model.validate_nodes_and_infer_types()


def _has_input(model: Model, name: str) -> bool:
    return any(name in value.get_names() for value in model.inputs)


def _rename(parameter: ov.Node, name: str) -> None:
    parameter.output(0).set_names({name})
    parameter.set_friendly_name(name)
