"""Fine-tunes the model on the data, if requested."""

from typing import Any

from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Trains the model on the first part of the data."""
    if not context.args.fine_tune:
        return {}, []
    context.say("training")
    output = context.fine_tuned
    lines = context.kind.fine_tune(context.model, output, context.part("train"), context)
    place = str(output.relative_to(context.output))
    return {"place": place, "places": [f"{place}/config.json"]}, [f"fine-tune: {line}" for line in lines]
