"""Identity of an exported model."""

import hashlib
from pathlib import Path


CHUNK = 1 << 20


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
