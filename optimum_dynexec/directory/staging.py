"""Replaces a directory atomically: it is written next to its final place, and moved there when it is complete.

One step commits it: the complete directory and the earlier one are exchanged (`renameat2` with `RENAME_EXCHANGE`).
docs/architecture.md says why, and what happens on a system without this step.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..utils.atomic import NO_EXCHANGE, exchange, sync
from .config import DYNEXEC_CONFIG_NAME, DynExecConfig
from .errors import ExportError


# A directory with this file is the result of an earlier export.
EXPORT_MARK = "openvino_model.xml"
# The files of an export. In the directory of an earlier export, all other files are the user's.
EXPORT_SUFFIXES = {".xml", ".bin", ".json", ".jinja", ".txt", ".model", ".tiktoken", ".py"}
# Earlier versions of this library wrote to these places in the directory, and left them if they were killed.
ABANDONED = re.compile(r"\.(saving|attaching|single-ir)-[a-z0-9_]{8}|\.dynexec-new")
ABANDONED_SECONDS = 3600.0
# Names in the locked directory: the directory that is being written, and the earlier one that it replaces.
NEW, OLD = "new", "old"


@contextmanager
def staged_directory(output: Path, *, keep_others: bool = False) -> Iterator[Path]:
    """
    Gives an empty directory to write to, which replaces `output` if the block ends without an exception.

    Even if the process is killed, `output` has either its earlier content or the complete new one, and the next call
    cleans up. An earlier export at `output` is replaced completely. Files in it that no export writes (a README, a
    `.git`) are kept.

    Args:
        output (`Path`):
            Directory to replace: one that does not exist, is empty, or holds an earlier export.
        keep_others (`bool`, *optional*, defaults to `False`):
            Whether to accept any directory and keep its content, except for the files and folders that are written
            again, and the heads that a new `dynexec_config.json` no longer lists. Files that are kept are linked, not
            copied. Processes that do this to the same directory wait for each other.

    Yields:
        `Path`: the directory to write to.

    Raises:
        [`ExportError`]: if `output` is something else, or if another process is exporting to it.
    """
    output = Path(os.path.realpath(output))
    output.parent.mkdir(parents=True, exist_ok=True)
    place = _workplace(output, keep_others)
    new, old = place / NEW, place / OLD
    with _locked_directory(place, output, wait=keep_others):
        _recover(place, output)
        try:
            _check_replaceable(output, keep_others)
            new.mkdir()
            _unseen.add(str(new))
            yield new
            _commit(new, old, output, keep_others)
        finally:
            _unseen.discard(str(new))
            _recover(place, output)
            place.rmdir()


# Directories that this process is writing and nobody reads yet. Files in them need not be written atomically.
_unseen: set[str] = set()
# A lock is released when the last process that has it open ends. A forked child must not keep it: it may outlive an
# export that was killed.
_locked: set[int] = set()


def _forget_locks() -> None:
    for descriptor in _locked:
        os.close(descriptor)
    _locked.clear()


os.register_at_fork(after_in_child=_forget_locks)


def _workplace(output: Path, keep_others: bool) -> Path:
    """The place to write: next to the directory, or in it if it is a mount point or its parent is not writable."""
    if keep_others and output.is_dir() and (os.path.ismount(output) or not os.access(output.parent, os.W_OK)):
        return output / ".dynexec-new"
    return output.parent / f".{output.name}.dynexec-new"


@contextmanager
def _locked_directory(directory: Path, output: Path, *, wait: bool) -> Iterator[None]:
    """Makes the directory and locks it. The lock is released when the process ends, in whatever way."""
    while True:
        directory.mkdir(exist_ok=True)
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        _locked.add(descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ExportError(f"another process is exporting to {output}") from error
            # A process that has just finished may have removed the directory before it could be locked.
            if directory.exists() and os.path.samestat(os.fstat(descriptor), os.stat(directory)):
                yield
                return
        finally:
            _locked.discard(descriptor)
            os.close(descriptor)


def _check_replaceable(output: Path, keep_others: bool) -> None:
    if output.exists() and not output.is_dir():
        raise ExportError(f"the output {output} is a file; give a directory")
    if keep_others:
        return
    if os.path.ismount(output):
        raise ExportError(f"the output {output} is a mount point, which cannot be replaced; give a directory in it")
    if output.is_dir() and any(output.iterdir()) and not (output / EXPORT_MARK).is_file():
        raise ExportError(f"the output directory {output} holds other files; give an empty or a new one")


def _recover(place: Path, output: Path) -> None:
    """Cleans up after a process that was killed."""
    if (place / OLD).is_dir() and not output.exists():
        (place / OLD).rename(output)
    for entry in place.iterdir():
        _remove(entry)


# ---- the commit ----------------------------------------------------------------------------------------------------


def _commit(new: Path, old: Path, output: Path, keep_others: bool) -> None:
    unseen = str(output) in _unseen
    written = set(os.listdir(new))
    # The place of the new directory may itself be in the output.
    others = set(os.listdir(output)) - written - {new.parent.name} if output.is_dir() else set()
    gone = others & _outdated(output, new) if keep_others else {name for name in others if _exported(output / name)}
    # Replacing or adding a single file is atomic by itself.
    in_place = unseen or output in new.parents or (len(written) == 1 and not gone)
    if not unseen:
        _sync(new)
    if not output.exists():
        new.rename(output)
    elif in_place or not _complete(new, output, others - gone) or not _take_place(new, old, output, others):
        _replace_files(new, output, written, gone)
    if not unseen:
        sync(output.parent if output not in new.parents else output)


def _exported(entry: Path) -> bool:
    return entry.is_file() and entry.suffix in EXPORT_SUFFIXES and not entry.name.startswith(".")


def _outdated(output: Path, new: Path) -> set[str]:
    """Leftovers of earlier versions, and files of heads that the new configuration no longer lists."""
    now = time.time()
    names = {
        entry.name
        for entry in (output.iterdir() if output.is_dir() else ())
        # An earlier version may still be writing to it.
        if ABANDONED.fullmatch(entry.name) and now - entry.lstat().st_mtime > ABANDONED_SECONDS
    }
    with contextlib.suppress(FileNotFoundError, ValueError):
        listed, stay = (
            {Path(head.file).stem for head in DynExecConfig.from_pretrained(directory).heads.values()}
            for directory in (output, new)
        )
        names |= {f"{stem}{suffix}" for stem in listed - stay for suffix in (".xml", ".bin")}
    return names


def _complete(new: Path, output: Path, names: set[str]) -> bool:
    """Links the kept files into the new directory. False if that fails: they may be too large to copy."""
    try:
        _link([output / name for name in names], new)
        _copy_attributes(output, new)
    except OSError:
        return False
    return True


def _take_place(new: Path, old: Path, output: Path, known: set[str]) -> bool:
    """Replaces the output by the new directory. False if the output cannot be renamed (a mount point, for example)."""
    here = _position_in(output)
    known = known | set(os.listdir(new))
    try:
        exchange(new, output)
        earlier = new
    except OSError as error:
        if error.errno not in NO_EXCHANGE:
            return False
        output.rename(old)
        new.rename(output)
        earlier = old
    if here is not None:
        os.chdir(here)
    # Move entries that were added while the others were linked.
    for entry in earlier.iterdir():
        if entry.name not in known:
            entry.rename(output / entry.name)
    return True


def _replace_files(new: Path, output: Path, written: set[str], gone: set[str]) -> None:
    """Replaces file by file, the configuration last: until then, the hashes in it make a load fail."""
    for name in sorted(written, key=lambda name: name == DYNEXEC_CONFIG_NAME):
        if (output / name).is_dir():
            _remove(output / name)
        os.replace(new / name, output / name)
    for name in gone:
        _remove(output / name)


def _link(entries: list[Path], target: Path) -> None:
    """Links files into another directory, and those in folders into folders of the same names."""
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            if os.path.ismount(entry):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(entry))
            (target / entry.name).mkdir()
            _link(list(entry.iterdir()), target / entry.name)
            _copy_attributes(entry, target / entry.name)
        else:
            os.link(entry, target / entry.name, follow_symlinks=False)


def _copy_attributes(source: Path, target: Path) -> None:
    shutil.copystat(source, target)
    status = source.stat()
    if (status.st_uid, status.st_gid) != (target.stat().st_uid, target.stat().st_gid):
        with contextlib.suppress(PermissionError):
            os.chown(target, status.st_uid, status.st_gid)


def _sync(directory: Path) -> None:
    for root, _, names in os.walk(directory):
        for name in names:
            if not os.path.islink(os.path.join(root, name)):
                sync(Path(root, name))
        sync(Path(root))


def _position_in(directory: Path) -> str | None:
    """The working directory, if it is `directory` or inside it."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return None
    return here if Path(here).is_relative_to(directory) else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
