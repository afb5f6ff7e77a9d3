"""Safetensors files of this library: their kind is in their metadata."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open


def read_tensors(path: str | Path, what: str, file_format: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """
    Reads a file of one kind.

    Args:
        path (`str` or `Path`): file to read.
        what (`str`): what it should be, for the message, such as `"a draft corpus"`.
        file_format (`str`): value of `format` in its metadata.

    Returns:
        `tuple`: the tensors by name, and the metadata.

    Raises:
        `ValueError`: if the file cannot be read or is of another kind. The message says why.
    """
    try:
        with safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != file_format:
                raise ValueError(f"its metadata has the format {metadata.get('format')!r} instead of {file_format!r}")
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not {what}: {error}") from error
