"""Identity of an exported model."""

import hashlib
import os
from pathlib import Path


CHUNK = 1 << 20
# Of the weights, what a fingerprint is taken of.
STRETCHES, STRETCH = 64, 1 << 16


def hash_model(directory: str | Path, name: str = "openvino_model") -> str:
    """
    Hashes a model's graph and weights, whole and in a stream: memory stays constant, time grows with the file size.

    Args:
        directory (`str` or `Path`):
            Where the model lies.
        name (`str`, *optional*, defaults to `"openvino_model"`):
            Name of its `.xml` and `.bin` file.

    Returns:
        `str`: `sha256:` and 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for suffix in (".xml", ".bin"):
        path = Path(directory) / f"{name}{suffix}"
        # The length keeps a byte from moving unnoticed from one file to the other.
        digest.update(path.stat().st_size.to_bytes(8, "little"))
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def hash_content(content: bytes) -> str:
    """`sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fingerprint_model(directory: str | Path, name: str = "openvino_model") -> str:
    """
    Tells whether a model's files are still the same, fast enough to be asked whenever it is loaded: hashes the whole
    graph, and of the weights their size and 64 stretches of 64 KiB from the first byte to the last. Weights of up to
    4 MiB are hashed whole.

    A model that was trained, quantized or exported anew differs in nearly every stretch. One whose weights were
    changed in a few places may not: where that matters (a guarantee of early exit), [`hash_model`] is asked.

    Args:
        directory (`str` or `Path`):
            Where the model lies.
        name (`str`, *optional*, defaults to `"openvino_model"`):
            Name of its `.xml` and `.bin` file.

    Returns:
        `str`: `sha256:` and 64 hexadecimal digits.
    """
    graph, weights = (Path(directory) / f"{name}{suffix}" for suffix in (".xml", ".bin"))
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
