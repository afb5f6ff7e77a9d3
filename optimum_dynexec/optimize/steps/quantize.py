"""Quantizations of the model: which are within the limit, and which of them is best."""

import shutil
import time
from pathlib import Path
from typing import Any

from ...quantization import quantize_dynexec
from ...quantization.configs import as_ov_config, uses_data
from ...quantization.models import weight_bytes
from ...tuning.choice import rows
from ...tuning.halving import Trial, successive_halving
from ..context import Context


F32 = "f32"
# Of the measurements between formats.
SECONDS = 240.0
UNITS = {"decoder": "token", "classifier": "sample"}


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Makes and judges them. Those that are not chosen are removed."""
    places = {F32: context.base}
    formats = context.recipe.formats[context.kind.name] if context.args.formats is None else context.args.formats
    lines, failed = [], {}
    for name in formats:
        context.say(f"quantize: {name}")
        try:
            places[name] = _quantized(context, name)
        except RuntimeError as error:
            # NNCF has not every option for every graph. The others are tried all the same.
            failed[name] = " ".join(str(error).split())
            lines.append(f"quantize: {name} refused: {failed[name]}")
    losses = _losses(context, {name: place for name, place in places.items() if name != F32})
    kept = {F32: context.base}
    for name, loss in losses.items():
        within = loss <= context.args.max_loss
        verdict, sign = ("kept", "<=") if within else ("refused", ">")
        lines.append(
            f"quantize: {name} {verdict}: {context.kind.loss_name} {loss:.2%} {sign} {context.args.max_loss:.2%}"
        )
        if within:
            kept[name] = places[name]
    costs = _costs(context, kept)
    chosen = min(kept, key=lambda name: costs[name])
    lines.append(f"quantize: {chosen} chosen: {_explained(context, costs)}")
    for name, place in places.items():
        if name not in (F32, chosen):
            shutil.rmtree(place)
    result = str(kept[chosen].relative_to(context.output))
    return {
        "chosen": chosen,
        "place": result,
        "losses": losses,
        "failed": failed,
        "costs": costs,
        "places": [f"{result}/openvino_model.xml"],
    }, lines


def _quantized(context: Context, name: str) -> Path:
    config = as_ov_config(context.kind.formats[name]).quantization_config
    data = context.kind.quantization_data(context.part("train"), context.args) if uses_data(config) else None
    quantize_dynexec(context.base, context.quantized / name, quantization_config=config, dataset=data)
    return context.quantized / name


def _losses(context: Context, places: dict[str, Path]) -> dict[str, float]:
    if not places:
        return {}
    context.say("quantize: measuring the loss")
    cache = context.output / ".cache"
    return context.kind.losses(context.base, places, context.part("calibrate"), context.args, cache)


def _costs(context: Context, places: dict[str, Path]) -> dict[str, float]:
    """Bytes, or seconds for each token or sample without anything dynamic."""
    if context.recipe.objective == "memory":
        return {name: float(weight_bytes(place)) for name, place in places.items()}
    if len(places) == 1:
        return dict.fromkeys(places, 0.0)
    context.say("quantize: measuring the speed")
    items, run_trial = context.kind.runs(places, context.part("calibrate"), context.args, context.recipe.objective)
    trials = [Trial(name, {"format": name}) for name in places]
    finished = successive_halving(
        trials,
        items,
        run_trial,
        baseline=trials[0],
        deadline=time.monotonic() + SECONDS,
        seed=context.args.seed,
        progress=context.progress,
    )
    # Those that left early were measured on fewer inputs, which may be easier ones. What counts is how much faster
    # than the first they were on the same.
    return {
        row["name"]: trials[0].cost / row["speedup"] for row in rows(trials, trials[0], finished[0], with_loss=False)
    }


def _explained(context: Context, costs: dict[str, float]) -> str:
    if len(costs) == 1:
        return "nothing else is within the limit"
    if context.recipe.objective == "memory":
        return ", ".join(f"{name} {value / 1e6:.0f} MB" for name, value in costs.items())
    unit = UNITS[context.kind.name]
    return ", ".join(f"{name} {1e3 * value:.2f} ms" for name, value in costs.items()) + f" per {unit}, run plainly"
