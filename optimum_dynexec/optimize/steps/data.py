"""The user's data, in parts."""

from typing import Any

from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Writes the parts."""
    directory = context.output / "data"
    directory.mkdir(parents=True, exist_ok=True)
    names, count = context.kind.split(context.data, directory, context.args)
    parts = {part: f"data/{name}" for part, name in names.items()}
    return {"parts": parts, "inputs": count, "places": list(parts.values())}, [
        f"data: {count} inputs, in parts to learn from, to choose by and to report on (6 : 2 : 2)"
    ]
