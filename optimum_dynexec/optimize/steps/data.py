"""Splits the user's data."""

from typing import Any

from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """
    Writes the parts, and checks the model against them.

    Raises:
        `ValueError`: if the data cannot be read, is too little, or does not fit the model.
    """
    directory = context.output / "data"
    directory.mkdir(parents=True, exist_ok=True)
    names, count = context.kind.split(context.data, directory, context.args)
    parts = {part: f"data/{name}" for part, name in names.items()}
    context.kind.check(
        context.model, context.task, [str(context.output / part) for part in parts.values()], context.args
    )
    return {"parts": parts, "inputs": count, "places": list(parts.values())}, [
        f"data: {count} inputs, in parts to train, to choose and to report (6 : 2 : 2)"
    ]
