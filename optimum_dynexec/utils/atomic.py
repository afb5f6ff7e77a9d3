"""Files that are there whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """
    Writes a file so that no reader, and no crash, ever sees part of it.

    Args:
        path (`Path`):
            The file; replaced if it exists, keeping its permissions.
        content (`bytes`):
            What it shall hold.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _mode(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _mode(path: Path) -> int:
    if path.exists():
        return path.stat().st_mode & 0o777
    # mkstemp makes files that only their owner can read; a new file gets what open() would have given it.
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
