"""How much memory a process can still get."""

from pathlib import Path


MEMINFO = Path("/proc/meminfo")


def available_bytes() -> int | None:
    """The bytes that can be allocated without swapping; `None` on a system that does not say so."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0]) if found else None
