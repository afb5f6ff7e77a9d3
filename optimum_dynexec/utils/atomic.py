"""Writes files and directories completely or not at all."""

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import tempfile
from pathlib import Path


# Arguments of renameat2(2): paths are relative to the working directory, and the two directories are exchanged.
AT_FDCWD = -100
RENAME_EXCHANGE = 2
# The errors of systems and file systems that cannot exchange directories.
NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
# Part of the names of files that are being written, after the name of the file that they replace.
TEMPORARY = ".dynexec-"


def write_atomically(path: Path, content: bytes) -> None:
    """
    Writes a file so that it is never incomplete, neither for a reader nor after a crash. Leftovers of a killed process
    that was writing the same file are removed.

    Args:
        path (`Path`):
            File to write. If it exists, it is replaced and keeps its permissions.
        content (`bytes`):
            New content.
    """
    _remove_abandoned(path)
    descriptor, temporary = _locked_temporary(path)
    try:
        # The lock ends with the descriptor, so the descriptor stays open until the file has its final name.
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
    Exchanges two directories of one file system in one step.

    Args:
        first, second (`Path`): existing directories.

    Raises:
        `OSError`: if they cannot be exchanged; `errno` is one of [`NO_EXCHANGE`] if the system does not support it.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(first), None, str(second))


def sync(path: Path) -> None:
    """Writes a file's content, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked_temporary(path: Path) -> tuple[int, str]:
    """Makes a temporary file for this process. Its lock shows other processes that it is not abandoned."""
    while True:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}{TEMPORARY}", dir=path.parent)
        # Some network file systems have no locks. Abandoned files cannot be recognized there, and stay.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.exists(temporary):
            return descriptor, temporary
        # Another process removed it as abandoned before it was locked.
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
