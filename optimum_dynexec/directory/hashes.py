"""Hashes that identify an exported model."""

import hashlib
import os
from pathlib import Path


CHUNK = 1 << 20
# The number of stretches of the weights that a fingerprint covers, and the size of each in bytes.
STRETCHES, STRETCH = 64, 1 << 16


def _model_files(directory: str | Path, name: str) -> list[Path]:
    return [Path(directory) / f"{name}{suffix}" for suffix in (".xml", ".bin")]


def hash_model(directory: str | Path, name: str = "openvino_model") -> str:
    """
    Hashes the whole graph and all weights of a model. It reads the files in chunks: memory is constant, and the time
    grows with the size of the files.

    Args:
        directory (`str` or `Path`):
            Directory of the model.
        name (`str`, *optional*, defaults to `"openvino_model"`):
            Name of the `.xml` and `.bin` file, without the suffix.

    Returns:
        `str`: `sha256:` and 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in _model_files(directory, name):
        # With the size of each file, a byte cannot move from one file to the other without a change of the hash.
        digest.update(path.stat().st_size.to_bytes(8, "little"))
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def hash_content(content: bytes) -> str:
    """Hashes bytes: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fingerprint_model(directory: str | Path, name: str = "openvino_model") -> str:
    """
    Hashes parts of a model's files, fast enough to check them whenever the model is loaded: the whole graph, the size
    of the weights, and 64 stretches of 64 KiB from the first byte of the weights to the last. Weights of up to 4 MiB
    are hashed completely.

    A model that was trained, quantized or exported again differs in nearly every stretch. A model whose weights were
    changed in a few places may have the same fingerprint. Where that matters (the guarantee of early exit),
    [`hash_model`] is used.

    Args:
        directory (`str` or `Path`):
            Directory of the model.
        name (`str`, *optional*, defaults to `"openvino_model"`):
            Name of the `.xml` and `.bin` file, without the suffix.

    Returns:
        `str`: `sha256:` and 64 hexadecimal digits.
    """
    graph, weights = _model_files(directory, name)
    digest = hashlib.sha256(hashlib.sha256(graph.read_bytes()).digest())
    with open(weights, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        last = max(size - STRETCH, 0)
        whole = size <= STRETCHES * STRETCH
        starts = range(0, size, STRETCH) if whole else [last * i // (STRETCHES - 1) for i in range(STRETCHES)]
        for start in starts:
            file.seek(start)
            digest.update(file.read(STRETCH))
    return f"sha256:{digest.hexdigest()}"
