"""Keeps the memory of a model at one copy of its weights while it is compiled."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


MADV_DONTNEED = 4
INTERVAL_SECONDS = 0.05


@contextmanager
def released_weights(path: str | Path | None) -> Iterator[None]:
    """
    Returns the pages of a memory-mapped weights file to the system while they are read, and again at the end.

    A device plugin repacks weights into its own memory, so the weights would be in memory twice: the copy and the
    pages of the file. The mapping stays; a page that is used again is read again.

    Args:
        path (`str` or `Path`, *optional*):
            The `.bin` file. With `None`, or on a system other than Linux, nothing is done.
    """
    if path is None or not sys.platform.startswith("linux"):
        yield
        return
    file = str(Path(path).resolve())
    done = threading.Event()

    def release_until_done() -> None:
        while not done.wait(INTERVAL_SECONDS):
            _release(file)

    thread = threading.Thread(target=release_until_done, name="dynexec-release-weights", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _release(file)
        # Memory that compilation has freed is also returned to the system.
        ctypes.CDLL(None).malloc_trim(0)


def _release(file: str) -> None:
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            # Only read-only mappings: data written to a private mapping would be lost.
            if len(fields) == 6 and fields[5].rstrip("\n") == file and "w" not in fields[1]:
                start, end = (int(address, 16) for address in fields[0].split("-"))
                libc.madvise(start, end - start, MADV_DONTNEED)
