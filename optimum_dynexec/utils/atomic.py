"""Files and directories that are there whole or not at all."""

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import tempfile
from pathlib import Path


# Of renameat2(2): paths are relative to the working directory, and the two change places.
AT_FDCWD = -100
RENAME_EXCHANGE = 2
# What systems and file systems answer that cannot do it.
NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
# In the names of files that are being written, behind that of the file they are to replace.
TEMPORARY = ".dynexec-"


def write_atomically(path: Path, content: bytes) -> None:
    """
    Writes a file so that no reader, and no crash, ever sees part of it. What a process that was killed has left of
    such a write to the same file is removed.

    Args:
        path (`Path`):
            The file; replaced if it exists, keeping its permissions.
        content (`bytes`):
            The new content.
    """
    _remove_abandoned(path)
    descriptor, temporary = _locked_temporary(path)
    try:
        # The lock goes with the descriptor, which is therefore open until the file has its name.
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


def exchange(first: Path, second: Path) -> None:
    """
    Has two directories of one file system change places, in one step.

    Args:
        first, second (`Path`): both exist.

    Raises:
        `OSError`: if they cannot; with one of the numbers [`NO_EXCHANGE`] if it is the system that cannot.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(first), None, str(second))


def sync(path: Path) -> None:
    """Has a file's content, or a directory's entries, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked_temporary(path: Path) -> tuple[int, str]:
    """A file of this process alone: others see by its lock that it is not abandoned."""
    while True:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}{TEMPORARY}", dir=path.parent)
        # Some network file systems have no locks. What is abandoned there is not told from what is not, and stays.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.exists(temporary):
            return descriptor, temporary
        # Somebody took it for abandoned before it was locked.
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    for temporary in glob.glob(f"{glob.escape(str(path.parent))}/.{glob.escape(path.name)}{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(temporary)
            finally:
                os.close(descriptor)


def _mode(path: Path) -> int:
    if path.exists():
        return path.stat().st_mode & 0o777
    # mkstemp makes files that only their owner can read; a new file gets the permissions that open() would have set.
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
