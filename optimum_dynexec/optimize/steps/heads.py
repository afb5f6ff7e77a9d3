"""The model that comes of it all: the quantization chosen, with heads."""

import os
import shutil
from pathlib import Path
from typing import Any

from ...directory.attached_heads import attach_heads
from ...directory.staging import staged_directory
from ...heads.storage import SUFFIX
from ..context import Context


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """
    Takes the quantization chosen, and trains heads on it, on what its own layers give, or attaches given ones. Another
    directory has the model in float32 with the same heads, so that the report can tell what comes of what.
    """
    _link(context.output / context.found["quantize"]["place"], context.result)
    _link(context.base, context.reference)
    lines, heads = _heads(context)
    names: list[str] = []
    if heads is not None:
        made = attach_heads(context.result, heads)
        attach_heads(context.reference, heads)
        names = sorted(made.heads)
        lines.append(f"heads: {', '.join(names)} attached")
        elsewhere = [name for name in names if made.heads[name].trained_on not in (None, made.model_hash)]
        if elsewhere:
            lines.append(f"heads: {', '.join(elsewhere)} trained on another export than this quantization")
    places = [f"{place.name}/openvino_model.xml" for place in (context.result, context.reference)]
    return {"heads": names, "places": places}, lines


def _link(source: Path, target: Path) -> None:
    """A directory of the same files. None of them is ever written to, only replaced, so that they may be shared."""
    with staged_directory(target) as staging:
        for entry in source.iterdir():
            if entry.is_file():
                try:
                    os.link(entry, staging / entry.name)
                except OSError:
                    shutil.copy2(entry, staging / entry.name)


def _heads(context: Context) -> tuple[list[str], Any]:
    args = context.args
    if args.heads is not None:
        return [f"heads: those of {args.heads}, as given"], args.heads
    if not args.train:
        return ["heads: none, as asked"], None
    if not context.recipe.heads[context.kind.name] and not args.layers:
        return [f"heads: none, as the recipe {args.recipe} has none of a {context.kind.name}"], None
    context.say("training")
    trained, further = context.kind.train(context.result, context.heads, context.part("train"), args, context.progress)
    # Those that other arguments asked for before are not this model's.
    for file in context.heads.glob(f"*{SUFFIX}"):
        if file not in trained:
            file.unlink()
    return [f"heads: {line}" for line in [*trained.values(), *further]], context.heads
