"""Makes the resulting model: the chosen quantization with heads."""

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
    Trains heads on the chosen quantization, or attaches given heads. Another
    directory has the model in float32 with the same heads, so that the report can separate both effects.
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
            lines.append(f"heads: {', '.join(elsewhere)} trained on another export, not on this quantization")
    places = [f"{place.name}/openvino_model.xml" for place in (context.result, context.reference)]
    return {"heads": names, "places": places}, lines


def _link(source: Path, target: Path) -> None:
    """A directory that shares the same files, which are only replaced and never written to."""
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
        return [f"heads: from {args.heads}, as requested"], args.heads
    if not args.train:
        return ["heads: none, as requested"], None
    if not context.recipe.heads[context.kind.name] and not args.layers:
        return [f"heads: none, because the recipe {args.recipe} trains none for {context.kind.noun}"], None
    context.say("training")
    trained, further = context.kind.train(context.result, context.heads, context.part("train"), args, context.progress)
    # Heads of an earlier call with other arguments do not belong to this model.
    for file in context.heads.glob(f"*{SUFFIX}"):
        if file not in trained:
            file.unlink()
    return [f"heads: {line}" for line in [*trained.values(), *further]], context.heads
