"""Writes the report."""

import json
from typing import Any

from ...report import write_report
from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Writes `report.html` and `report.md`, if there is a benchmark."""
    results = context.found["benchmark"]["results"]
    if results is None:
        return {}, []
    content = json.loads((context.output / results).read_text(encoding="utf-8"))
    files = write_report([content], context.output / "report")
    places = [str(file.relative_to(context.output)) for file in files]
    return {"places": places}, [f"report: {', '.join(str(file) for file in files)}"]
