"""Writes results to a file."""

import json
from pathlib import Path
from typing import Any


def write_results(path: Path, settings: dict[str, Any], **results: Any) -> None:
    """
    Writes a JSON file. Its folder is made if it does not exist.

    Args:
        path (`Path`): file to write.
        settings (`dict[str, Any]`): how it was measured.
        results: what was measured.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"settings": settings, **results}, indent=1) + "\n", encoding="utf-8")
