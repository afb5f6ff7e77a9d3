"""The registry of systems to measure."""

import fnmatch
from collections.abc import Callable

from .dynexec_systems import DYNEXEC_SYSTEMS
from .genai_systems import GENAI_SYSTEMS
from .systems import System


def registry() -> dict[str, Callable[[str], System]]:
    """All systems by name, in the order of the tables."""
    return {**DYNEXEC_SYSTEMS, **GENAI_SYSTEMS}


def select(patterns: list[str]) -> list[System]:
    """
    Makes the systems whose names match one of the shell patterns.

    Raises:
        `ValueError`: if a pattern matches none.
    """
    factories = registry()
    for pattern in patterns:
        if not fnmatch.filter(factories, pattern):
            raise ValueError(f"No system matches {pattern!r}; the systems are {', '.join(factories)}")
    return [make(name) for name, make in factories.items() if any(fnmatch.fnmatch(name, p) for p in patterns)]
