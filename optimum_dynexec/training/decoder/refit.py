"""Heads that training goes on with, on another backbone: a quantized one, say."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from ...heads.config import DecoderHeadConfig
from ...heads.modules import HeadModule, make_head
from ...heads.storage import SUFFIX, load_head


# Fields that two heads must have in common to have weights of the same shapes.
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
    Reads the weights that a head is to start from.

    Args:
        start_from (`str` or `Path`): a safetensors file of a head, or a directory with some.
        config ([`DecoderHeadConfig`]): of the head that is to be trained.

    Returns:
        `dict[str, np.ndarray]`: its tensors by name, `token_ids` among them.

    Raises:
        `ValueError`: if there is no such head, or it is of another shape.
    """
    path = _start_path(start_from, config.name)
    found, tensors = load_head(path)
    different = [name for name in SHAPE if getattr(found, name) != getattr(config, name)]
    if different:
        name = different[0]
        raise ValueError(
            f"{path} cannot be started from: its `{name}` is {getattr(found, name)!r}, but {getattr(config, name)!r}"
            " is asked for"
        )
    return tensors


def load_start_config(start_from: str | Path, name: str) -> DecoderHeadConfig:
    """
    Reads what the head is like that one is to start from.

    Args:
        start_from (`str` or `Path`): a safetensors file of a head, or a directory with some.
        name (`str`): of the head.

    Raises:
        `ValueError`: if there is no such head.
    """
    config = load_head(_start_path(start_from, name))[0]
    if not isinstance(config, DecoderHeadConfig):
        raise ValueError(f"{start_from} holds an encoder's head of kind {config.kind!r}, no {name} of a decoder")
    return config


def _start_path(start_from: str | Path, name: str) -> Path:
    path = Path(start_from)
    if path.is_dir():
        path = path / f"{name}{SUFFIX}"
    if not path.is_file():
        raise ValueError(f"there is no {name} to start from at {start_from}")
    return path


def head_from(tensors: dict[str, np.ndarray], config: DecoderHeadConfig, unembedding: np.ndarray) -> HeadModule:
    """
    Makes a head with given weights and words.

    Args:
        tensors (`dict[str, np.ndarray]`): as [`load_start`] gives them.
        config ([`DecoderHeadConfig`]): of the head.
        unembedding (`np.ndarray` of shape `(vocab_size, hidden_size)`): of the backbone that it is trained for now.
    """
    head = make_head(config, torch.from_numpy(tensors["token_ids"]), torch.from_numpy(unembedding))
    for name, parameter in head.named_parameters():
        # The unembedding is the new backbone's, if the head has not one of its own.
        if name in tensors:
            parameter.data.copy_(torch.from_numpy(tensors[name]))
    return head


def hash_start(tensors: dict[str, np.ndarray] | None) -> str | None:
    """What tells one start from another; `None` without one."""
    if tensors is None:
        return None
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()[:12]
