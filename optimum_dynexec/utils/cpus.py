"""The number of processors."""

import os


def usable_cpus() -> int:
    """The number of logical processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
