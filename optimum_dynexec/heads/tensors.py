"""The tensors of a head."""

from collections.abc import Callable, Mapping

import numpy as np

from .config import DecoderHeadConfig, EncoderHeadConfig, HeadConfig


Shapes = dict[str, tuple[int, ...]]


def _norm(config: DecoderHeadConfig) -> Shapes:
    return {"norm.weight": (config.hidden_size,)}


def _adapter(config: DecoderHeadConfig) -> Shapes:
    d, rank = config.hidden_size, config.rank
    return {**_norm(config), "down.weight": (rank, d), "up.weight": (d, rank)}


def _block(config: DecoderHeadConfig) -> Shapes:
    d, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    block = {
        "input_norm": (d,),
        "q": (queries, d),
        "k": (keys, d),
        "v": (keys, d),
        "o": (d, queries),
        "post_norm": (d,),
        "gate": (inner, d),
        "up": (inner, d),
        "down": (d, inner),
    }
    return {**_norm(config), **{f"block.{name}.weight": shape for name, shape in block.items()}}


def _draft(config: DecoderHeadConfig) -> Shapes:
    d = config.hidden_size
    own: Shapes = {"norm_embedding.weight": (d,), "norm_hidden.weight": (d,), "fc.weight": (d, 2 * d)}
    if config.feature_layers:
        own["fc_layers.weight"] = (d, len(config.feature_layers) * d)
        own.update({f"norm_layers.{i}.weight": (d,) for i in range(len(config.feature_layers))})
    return {**_block(config), **own}


def _encoder(config: EncoderHeadConfig) -> Shapes:
    d = config.hidden_size
    shapes: Shapes = {}
    if config.layer_norm:
        shapes.update({"norm.weight": (d,), "norm.bias": (d,)})
    if config.dense_size:
        shapes.update({"dense.weight": (config.dense_size, d), "dense.bias": (config.dense_size,)})
    if config.certainty:
        shapes.update({"certainty.weight": (1, d), "certainty.bias": (1,)})
    inner = config.dense_size or d
    return {**shapes, "out.weight": (config.num_labels, inner), "out.bias": (config.num_labels,)}


# The tensors of a decoder's head of each kind.
SHAPES: dict[str, Callable[[DecoderHeadConfig], Shapes]] = {
    "norm": _norm,
    "adapter": _adapter,
    "block": _block,
    "draft": _draft,
}


def tensor_shapes(config: HeadConfig, num_words: int) -> Shapes:
    """
    The shapes of a head's tensors by name. All are float32 except `token_ids`.

    Args:
        config ([`HeadConfig`]): configuration of the head.
        num_words (`int`): number of tokens that a decoder's head can predict.
    """
    if isinstance(config, EncoderHeadConfig):
        return _encoder(config)
    assert isinstance(config, DecoderHeadConfig)
    shapes: Shapes = {"token_ids": (num_words,), **SHAPES[config.kind](config)}
    if not config.shares_unembedding:
        shapes["unembedding.weight"] = (num_words, config.hidden_size)
    return shapes


def check_tensors(config: HeadConfig, tensors: Mapping[str, np.ndarray]) -> None:
    """
    Checks that all tensors of a head are there, that they have the right shapes, and that there are no others.

    Args:
        config ([`HeadConfig`]): configuration of the head.
        tensors (`Mapping[str, np.ndarray]`): tensors by name.

    Raises:
        `ValueError`: if a check fails. The message names the first wrong tensor.
    """
    shapes = tensor_shapes(config, len(tensors.get("token_ids", ())))
    for name in sorted({*shapes, *tensors}):
        found = tuple(tensors[name].shape) if name in tensors else "absent"
        expected = shapes.get(name, "absent")
        if found != expected:
            raise ValueError(f"`{name}` of a head of kind {config.kind!r} must be {expected}, but it is {found}")
