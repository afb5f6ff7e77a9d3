"""Measures the quality of the model itself, because a small loss means nothing for a useless model."""

from typing import Any

from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """
    Measures the model in float32 on the second part of the data.

    Raises:
        [`~optimize.OptimizeError`]: if the samples do not show that the model is trained for the data.
    """
    context.say("measuring the accuracy")
    found = context.kind.baseline(context.base, context.part("calibrate"), context.args)
    if found is None:
        return {}, []
    values = {name: value for name, value in found.items() if name != "line"}
    return values, [f"baseline: {found['line']}"]
