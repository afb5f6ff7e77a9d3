"""Heads as safetensors files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..utils.atomic import write_atomically
from .config import EncoderHeadConfig, HeadConfig


SUFFIX = ".safetensors"
SCALE = ".scale"


def save_head(
    config: HeadConfig,
    tensors: Mapping[str, np.ndarray],
    path: str | Path,
    *,
    weight_format: str = "fp32",
    card: str | None = None,
) -> None:
    """
    Writes a head to a file, completely or not at all.

    Args:
        config ([`HeadConfig`]): configuration of the head.
        tensors (`Mapping[str, np.ndarray]`): float32 weights by name; of a decoder's head also `token_ids` int64.
        path (`str` or `Path`): file to write, ending in `.safetensors`.
        weight_format (`str`, *optional*, defaults to `"fp32"`):
            `"fp32"`, `"fp16"`, or `"int8"`: symmetric 8-bit matrices with one scale per row.
        card (`str`, *optional*): description of the training, as a JSON object.
    """
    if weight_format not in ("fp32", "fp16", "int8"):
        raise ValueError(f"`weight_format` must be 'fp32', 'fp16' or 'int8', got {weight_format!r}")
    stored: dict[str, np.ndarray] = {}
    for name, values in tensors.items():
        if name == "token_ids":
            stored[name] = np.ascontiguousarray(values, np.int32)
        elif weight_format == "int8" and values.ndim == 2:
            scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / 127.0
            stored[name] = np.ascontiguousarray(np.rint(values / scale), np.int8)
            stored[name + SCALE] = np.ascontiguousarray(scale, np.float32)
        else:
            stored[name] = np.ascontiguousarray(values, np.float16 if weight_format == "fp16" else np.float32)
    metadata = {"config": config.to_json(), **({} if card is None else {"card": card})}
    write_atomically(Path(path), save(stored, metadata=metadata))


def load_head(path: str | Path) -> tuple[HeadConfig, dict[str, np.ndarray]]:
    """
    Reads a head.

    Args:
        path (`str` or `Path`): file that [`save_head`] wrote.

    Returns:
        `tuple`: the [`HeadConfig`], and the tensors by name: for a decoder's head `token_ids` int64 `[words]`, all
        other tensors float32.

    Raises:
        `ValueError`: if the file is not a head. The message says why.
    """
    try:
        with safe_open(str(path), framework="np") as file:
            text = (file.metadata() or {}).get("config")
            if text is None:
                raise ValueError("its metadata contains no configuration of a head")
            config = HeadConfig.from_json(text)
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a head: {error}") from error
    tensors: dict[str, np.ndarray] = {}
    for name, values in stored.items():
        if name == "token_ids":
            tensors[name] = values.astype(np.int64)
        elif not name.endswith(SCALE):
            scale = stored.get(name + SCALE)
            tensors[name] = values.astype(np.float32) if scale is None else values.astype(np.float32) * scale
    if isinstance(config, EncoderHeadConfig):
        return config, tensors
    ids = tensors.get("token_ids")
    if ids is None or ids.ndim != 1 or len(np.unique(ids)) != len(ids):
        raise ValueError(f"{path} is not a head: `token_ids` must be a list of distinct token ids")
    if len(ids) == 0 or ids.min() < 0 or ids.max() >= config.vocab_size:
        raise ValueError(f"{path} is not a head: `token_ids` must be from 0 to {config.vocab_size - 1}")
    return config, tensors
