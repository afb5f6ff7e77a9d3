"""Quantizes the model, and chooses the best quantization within the limit."""

import shutil
import time
from pathlib import Path
from typing import Any

from ...quantization import quantize_dynexec
from ...quantization.configs import as_ov_config, uses_data
from ...quantization.models import weight_bytes
from ...tuning.choice import decide
from ...tuning.halving import Trial, speed_ratio
from ...utils.losses import Loss, loss_phrase
from ..context import Context


F32 = "f32"
# The time for measuring the formats, in seconds.
SECONDS = 240.0
UNITS = {"decoder": "token", "encoder": "sample"}


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Makes and judges the quantizations. Those that are not chosen are removed."""
    places = {F32: context.base}
    formats = context.recipe.formats[context.kind.name] if context.args.formats is None else context.args.formats
    lines, failed = [], {}
    for name in formats:
        context.say(name)
        try:
            places[name] = _quantized(context, name)
        except RuntimeError as error:
            # NNCF does not support every option for every graph. The other formats are tried all the same.
            failed[name] = " ".join(str(error).split())
            lines.append(f"quantize: {name} refused: {failed[name]}")
    losses = _losses(context, {name: place for name, place in places.items() if name != F32})
    kept = {F32: context.base}
    for name, loss in losses.items():
        verdict, kept_too = _verdict(loss, context.args.max_loss)
        lines.append(f"quantize: {name} {verdict}: {_loss_text(context, loss)}")
        if kept_too:
            kept[name] = places[name]
    chosen, costs, why = _fastest(context, kept)
    if not losses:
        why = "no quantization was possible" if formats else "no quantization was requested"
    lines.append(f"quantize: {chosen} chosen: {why}")
    # Those of earlier calls too.
    for place in context.quantized.iterdir() if context.quantized.is_dir() else ():
        if place.name != chosen:
            shutil.rmtree(place)
    result = str(kept[chosen].relative_to(context.output))
    return {
        "chosen": chosen,
        "place": result,
        "losses": {name: loss.value for name, loss in losses.items()},
        "loss_intervals": {name: list(loss.interval or ()) for name, loss in losses.items()},
        "failed": failed,
        "costs": costs,
        "places": [f"{result}/openvino_model.xml"],
    }, lines


def _quantized(context: Context, name: str) -> Path:
    config = as_ov_config(context.kind.formats[name]).quantization_config
    data = context.kind.quantization_data(context.part("train"), context.args) if uses_data(config) else None
    quantize_dynexec(context.base, context.quantized / name, quantization_config=config, dataset=data)
    return context.quantized / name


def _losses(context: Context, places: dict[str, Path]) -> dict[str, Loss]:
    if not places:
        return {}
    context.say("measuring the loss")
    cache = context.output / ".cache"
    return context.kind.losses(context.base, places, context.part("calibrate"), context.args, cache)


def _verdict(loss: Loss, limit: float) -> tuple[str, bool]:
    """The verdict on a format, and whether to keep it. An undecided format is judged by its measured loss."""
    within = loss.within(limit)
    if within is not None:
        return ("kept", True) if within else ("refused", False)
    return ("kept, but undecided", True) if loss.value <= limit else ("left out, but undecided", False)


def _loss_text(context: Context, loss: Loss) -> str:
    kind, limit = context.kind, context.args.max_loss
    said = loss_phrase(loss.value, kind.loss_name, kind.gain_name)
    text = f"{said} ({loss.text(kind.loss_unit)}), limit {limit:.2%}"
    return text if loss.within(limit) is not None else f"{text}; {loss.undecided(limit, kind.loss_unit)}"


def _fastest(context: Context, places: dict[str, Path]) -> tuple[str, dict[str, float], str]:
    """The best format, the cost of each format (bytes, or seconds per token or sample), and the reason."""
    if len(places) == 1:
        return F32, {F32: 0.0}, "no quantization is within the limit"
    if context.recipe.objective == "memory":
        sizes = {name: float(weight_bytes(place)) for name, place in places.items()}
        why = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())
        return min(sizes, key=lambda name: sizes[name]), sizes, why
    context.say("measuring the speed")
    items, run_trial = context.kind.runs(places, context.part("calibrate"), context.args, context.recipe.objective)
    base, *others = [Trial(name, {"format": name}) for name in places]
    found = decide(
        base,
        others,
        items,
        run_trial,
        deadline=time.monotonic() + SECONDS,
        seed=context.args.seed,
        progress=context.progress,
    )
    first = found.trials[0]
    # By the typical round: a single disturbed round does not decide.
    costs = {trial.name: first.cost / speed_ratio(trial, first)[0] for trial in found.trials}
    unit = UNITS[context.kind.name]
    spent = ", ".join(f"{name} {1e3 * value:.2f} ms" for name, value in costs.items())
    return found.chosen.name, costs, f"{spent} per {unit} without dynamic execution; {found.sentence}"
