"""How good the model is by itself, as a small loss of a useless model says nothing."""

from typing import Any

from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """
    Measures the model in float32 on the part to choose by.

    Raises:
        [`~optimize.OptimizeError`]: if nothing shows that the model is trained for the data.
    """
    context.say("measuring the accuracy")
    found = context.kind.baseline(context.base, context.part("calibrate"), context.args)
    if found is None:
        return {}, []
    values = {name: value for name, value in found.items() if name != "line"}
    return values, [f"baseline: {found['line']}"]
