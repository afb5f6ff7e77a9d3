"""Measurements that hold for one model on one machine, kept between processes."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from .atomic import write_atomically


logger = logging.getLogger(__name__)

# Environment variable with the directory, instead of the default.
DIRECTORY_VARIABLE = "DYNEXEC_CACHE"


def cache_directory() -> Path:
    """
    The directory of remembered measurements: `DYNEXEC_CACHE`, or `optimum-dynexec` next to the caches of Hugging
    Face. It may be removed at any time.
    """
    from huggingface_hub.constants import HF_HOME

    return Path(os.environ.get(DIRECTORY_VARIABLE) or Path(HF_HOME) / "optimum-dynexec")


def recall(kind: str, identity: Any) -> Any:
    """
    What `remember` has kept; `None` if there is nothing that can be read.

    Args:
        kind (`str`): kind of the measurement.
        identity (`Any`): everything that the measurement depends on, as values for JSON.
    """
    try:
        found = json.loads(_path(kind, identity).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # Two identities can have one name only by accident, but a file may also have been copied.
    return found.get("value") if isinstance(found, dict) and found.get("identity") == identity else None


def remember(kind: str, identity: Any, value: Any) -> None:
    """Keeps a value for JSON. If it cannot be written, a message at level `INFO` says so."""
    path = _path(kind, identity)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"identity": identity, "value": value}, indent=2)
        write_atomically(path, content.encode())
    except OSError as error:
        logger.info("The measurement is not kept in %s: %s", path, error)


def _path(kind: str, identity: Any) -> Path:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    return cache_directory() / f"{kind}-{digest}.json"
