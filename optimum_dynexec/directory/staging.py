"""A directory that is replaced whole: written beside its place, and moved there when it is complete."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ExportError


# A directory with this file is the result of an earlier export.
EXPORT_MARK = "openvino_model.xml"
# What exports consist of. In the directory of an earlier export, all else is the user's.
EXPORT_SUFFIXES = {".xml", ".bin", ".json", ".jinja", ".txt", ".model", ".tiktoken", ".py"}


@contextmanager
def staged_directory(output: Path, *, keep_others: bool = False) -> Iterator[Path]:
    """
    Gives an empty directory to write to, which takes the place of `output` if the block ends without an exception.

    Whatever ends the process in between, `output` is then as it was, and the next call cleans up. An earlier export at
    `output` is replaced whole; files in it that no export writes (a README, a `.git`) are kept.

    Args:
        output (`Path`):
            The directory to make: absent, empty or an earlier export.
        keep_others (`bool`, *optional*, defaults to `False`):
            Take any directory, and keep all that is in it, but for the files and folders that are written anew.

    Yields:
        `Path`: the directory to write to.

    Raises:
        [`ExportError`]: if `output` is something else, or if another process is at the same.
    """
    output = Path(os.path.abspath(output))
    output.parent.mkdir(parents=True, exist_ok=True)
    staging = output.parent / f".{output.name}.dynexec-new"
    replaced = output.parent / f".{output.name}.dynexec-old"
    with _locked_directory(staging, output):
        try:
            _remove_content(staging)
            _recover(replaced, output, keep_others)
            _check_replaceable(output, keep_others)
            yield staging
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        if output.exists():
            output.rename(replaced)
        staging.rename(output)
        _retire(replaced, output, keep_others)


# A lock goes with the last process that has it open. A forked child must not be that process: it may outlive an export
# that was killed.
_locked: set[int] = set()


def _forget_locks() -> None:
    for descriptor in _locked:
        os.close(descriptor)
    _locked.clear()


os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def _locked_directory(directory: Path, output: Path) -> Iterator[None]:
    """Makes the directory and locks it. The lock goes with the process, however that ends."""
    while True:
        directory.mkdir(exist_ok=True)
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        _locked.add(descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ExportError(f"another process is exporting to {output}") from error
            # A process that has just finished may have moved the directory away before it could be locked.
            if directory.exists() and os.path.samestat(os.fstat(descriptor), os.stat(directory)):
                yield
                return
        finally:
            _locked.discard(descriptor)
            os.close(descriptor)


def _check_replaceable(output: Path, keep_others: bool) -> None:
    if output.exists() and not output.is_dir():
        raise ExportError(f"the output {output} is a file; give a directory")
    if os.path.ismount(output):
        raise ExportError(f"the output {output} is a mount point, which cannot be replaced; give a directory in it")
    if keep_others:
        return
    if output.is_dir() and any(output.iterdir()) and not (output / EXPORT_MARK).is_file():
        raise ExportError(f"the output directory {output} holds other files; give an empty or a new one")


def _recover(replaced: Path, output: Path, keep_others: bool) -> None:
    """Ends the exchange of directories that a killed process left half done."""
    if replaced.is_dir() and output.exists():
        _retire(replaced, output, keep_others)
    elif replaced.is_dir():
        replaced.rename(output)


def _retire(replaced: Path, output: Path, keep_others: bool) -> None:
    if not replaced.is_dir():
        return
    for entry in replaced.iterdir():
        of_the_export = entry.is_file() and entry.suffix in EXPORT_SUFFIXES and not entry.name.startswith(".")
        if (keep_others or not of_the_export) and not (output / entry.name).exists():
            entry.rename(output / entry.name)
    shutil.rmtree(replaced)


def _remove_content(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
