"""The model that comes of it all: the quantization chosen, with heads."""

import shutil
from typing import Any

from ...exporters.staging import staged_directory
from ...heads.attach import attach_heads
from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """
    Copies the quantization chosen, and trains heads on it, on what its own layers give, or attaches given ones. The
    model in float32 gets them too, so that the report can tell what comes of what.
    """
    source = context.output / context.found["quantize"]["place"]
    with staged_directory(context.result) as staging:
        for entry in source.iterdir():
            if entry.is_file():
                shutil.copy2(entry, staging / entry.name)
    lines, heads = _heads(context)
    names: list[str] = []
    if heads is not None:
        names = sorted(attach_heads(context.result, heads).heads)
        attach_heads(context.base, heads)
        lines.append(f"heads: {', '.join(names)} attached")
    return {"heads": names, "places": ["model/openvino_model.xml"]}, lines


def _heads(context: Context) -> tuple[list[str], Any]:
    args = context.args
    if args.heads is not None:
        return [f"heads: those of {args.heads}, as given; they were not trained on this quantization"], args.heads
    if not args.train:
        return ["heads: none, as asked"], None
    if not context.recipe.heads[context.kind.name] and not args.layers:
        return [f"heads: none, as the recipe {args.recipe} has none of a {context.kind.name}"], None
    context.say("heads: training")
    trained = context.kind.train(context.result, context.heads, context.part("train"), args, context.progress)
    return [f"heads: {line}" for line in trained], context.heads
