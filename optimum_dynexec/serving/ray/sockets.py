"""
The socket of a replica.

A replica takes the first socket of its machine that no other replica has. It shows that it has it by a name in Linux's
abstract namespace, which is free again as soon as the process ends, however it ends.
"""

import contextlib
import logging
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path


logger = logging.getLogger(__name__)

CPUS = Path("/sys/devices/system/cpu")


@dataclass
class Pin:
    """
    What a replica holds while it lives.

    Args:
        number (`int`): number of the socket.
        cpus (`frozenset[int]`): its logical processors that this process may use.
        claim (`socket.socket`, *optional*): shows others that the socket is taken.
    """

    number: int
    cpus: frozenset[int]
    claim: socket.socket | None = field(default=None, repr=False)


def sockets(root: Path = CPUS) -> dict[int, frozenset[int]]:
    """
    The sockets of this machine.

    Args:
        root (`Path`, *optional*, defaults to `/sys/devices/system/cpu`): where the topology is.

    Returns:
        `dict[int, frozenset[int]]`: by number of the socket, its logical processors that this process may use.
    """
    found: dict[int, set[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        path = root / f"cpu{cpu}" / "topology" / "physical_package_id"
        # Virtual machines may not tell; they have one socket then.
        number = max(int(path.read_text()), 0) if path.is_file() else 0
        found.setdefault(number, set()).add(cpu)
    return {number: frozenset(cpus) for number, cpus in sorted(found.items())}


def pin(root: Path = CPUS) -> Pin | None:
    """
    Keeps this process on a socket. Linux then gives it memory of that socket, so this comes before a model is loaded.

    Args:
        root (`Path`, *optional*, defaults to `/sys/devices/system/cpu`): where the topology is.

    Returns:
        [`Pin`], *optional*: the socket. `None` if there is only one, or all are taken.
    """
    choices = sockets(root)
    if len(choices) < 2:
        return None
    for number, cpus in choices.items():
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0optimum-dynexec/socket/{number}")
        except OSError:
            claim.close()
            continue
        _keep_on(cpus)
        return Pin(number, cpus, claim)
    logger.warning(
        "All %d sockets of this machine have a replica, so this one is not kept on one: raise `num_cpus` to the number"
        " of logical processors of a socket.",
        len(choices),
    )
    return None


def _keep_on(cpus: frozenset[int]) -> None:
    """Moves all threads: those that a thread starts later stay where it is."""
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread), cpus)
