"""Loads heads whose training continues on another backbone, for example a quantized one."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from ...heads.config import DecoderHeadConfig, HeadConfig
from ...heads.modules import HeadModule, make_head
from ...heads.storage import SUFFIX, load_head


# Fields in which two heads must agree to have weights of the same shapes.
SHAPE = (
    "kind",
    "layer",
    "hidden_size",
    "vocab_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rank",
    "feature_layers",
)


def load_start(start_from: str | Path, config: DecoderHeadConfig) -> dict[str, np.ndarray]:
    """
    Reads the weights that the training of a head starts from.

    Args:
        start_from (`str` or `Path`): safetensors file of a head, or directory with such files.
        config ([`DecoderHeadConfig`]): configuration of the head to train.

    Returns:
        `dict[str, np.ndarray]`: the tensors by name, including `token_ids`.

    Raises:
        `ValueError`: if there is no such head, or it has another shape.
    """
    path = _start_path(start_from, config.name)
    found, tensors = load_head(path)
    _of_decoder(found, start_from, config.name)
    different = [name for name in SHAPE if getattr(found, name) != getattr(config, name)]
    if different:
        name = different[0]
        raise ValueError(
            f"training cannot start from {path}: its `{name}` is {getattr(found, name)!r}, but"
            f" {getattr(config, name)!r}"
            " is requested"
        )
    return tensors


def load_start_config(start_from: str | Path, name: str) -> DecoderHeadConfig:
    """
    Reads the configuration of the head that training starts from.

    Args:
        start_from (`str` or `Path`): safetensors file of a head, or directory with such files.
        name (`str`): name of the head.

    Raises:
        `ValueError`: if there is no such head.
    """
    return _of_decoder(load_head(_start_path(start_from, name))[0], start_from, name)


def _of_decoder(config: HeadConfig, start_from: str | Path, name: str) -> DecoderHeadConfig:
    if not isinstance(config, DecoderHeadConfig):
        raise ValueError(
            f"{start_from} contains a head of an encoder, of kind {config.kind!r}, but a {name} of a decoder is needed"
        )
    return config


def _start_path(start_from: str | Path, name: str) -> Path:
    path = Path(start_from)
    if path.is_dir():
        path = path / f"{name}{SUFFIX}"
    if not path.is_file():
        raise ValueError(f"{start_from} contains no {name} to start from")
    return path


def head_from(tensors: dict[str, np.ndarray], config: DecoderHeadConfig, unembedding: np.ndarray) -> HeadModule:
    """
    Makes a head with given weights and tokens.

    Args:
        tensors (`dict[str, np.ndarray]`): tensors from [`load_start`].
        config ([`DecoderHeadConfig`]): configuration of the head.
        unembedding (`np.ndarray` of shape `(vocab_size, hidden_size)`): unembedding of the new backbone.
    """
    head = make_head(config, torch.from_numpy(tensors["token_ids"]), torch.from_numpy(unembedding))
    for name, parameter in head.named_parameters():
        # The unembedding is that of the new backbone, unless the head has its own.
        if name in tensors:
            parameter.data.copy_(torch.from_numpy(tensors[name]))
    return head


def hash_start(tensors: dict[str, np.ndarray] | None) -> str | None:
    """A hash of the heads that training starts from; `None` without them."""
    if tensors is None:
        return None
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()[:12]
