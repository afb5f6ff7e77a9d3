"""Compares the figures of the systems: speed-ups, the quality limit, and the fastest system within it."""

from collections.abc import Sequence
from typing import Any

from ..utils.intervals import interval_text, within_limit
from ..utils.losses import Loss, loss_phrase
from .arguments import OFF, ON
from .tables import same_model


Row = dict[str, Any]
# With fewer prompts or batches, a remark says that the speed-ups may be different on others.
ENOUGH_ITEMS = 20


def add_ratios(rows: Sequence[Row], max_loss: float) -> None:
    """
    Adds to each row its `speedup` over the first row, and whether it is `within_limit`: `None` if its loss is unknown,
    or the samples cannot show on which side of the limit it is. The first row, which losses are relative to, is always
    within the limit, even if rounding gives it a loss.

    Args:
        rows (`Sequence[dict]`): figures of the systems; the first row is the first model without dynamic execution.
        max_loss (`float`): maximum loss.
    """
    for row in rows:
        row["speedup"] = row["speed"] / rows[0]["speed"]
        unknown = row["loss"] is None
        row["within_limit"] = row is rows[0] or (None if unknown else within_limit(row["loss_interval"], max_loss))


def multiplication(rows: Sequence[Row]) -> list[Row]:
    """
    Compares the speed-up of a quantized model with dynamic execution with the product of the two separate speed-ups,
    for each model except the first and each dynamic mode.

    Args:
        rows (`Sequence[dict]`): rows with `model`, `mode` and `speedup`.

    Returns:
        `list[dict]`: the separate speed-ups `quantized` and `dynamic`, their `product`, the speed-up of `both`
        together, and `both / product` as `share`.
    """
    speedups = {(row["model"], row["mode"]): row["speedup"] for row in rows}
    first = rows[0]["model"]
    found = []
    for (model, mode), both in speedups.items():
        if model == first or mode == OFF:
            continue
        quantized, dynamic = speedups[model, OFF], speedups[first, mode]
        product = quantized * dynamic
        found.append(
            {
                "model": model,
                "mode": mode,
                "quantized": quantized,
                "dynamic": dynamic,
                "product": product,
                "both": both,
                "share": both / product,
            }
        )
    return found


def answer(rows: Sequence[Row], texts: Row, max_loss: float, where: str = "", items: int = ENOUGH_ITEMS) -> Row:
    """
    Finds the fastest system within the quality limit.

    Args:
        rows (`Sequence[dict]`): rows after [`add_ratios`].
        texts (`dict[str, str]`): texts of the task, see [`~benchmark.tasks.base.Texts`].
        max_loss (`float`): maximum loss.
        where (`str`, *optional*): workload for the sentence, if there are several.
        items (`int`, *optional*, defaults to 20): number of prompts or batches that were measured.

    Returns:
        `dict`: `system`, `speedup` and `loss` of the fastest system; `sentence` and `remarks` for the reader.
    """
    base = rows[0]
    allowed = [row for row in rows if row["within_limit"]]
    best = max(allowed, key=lambda row: row["speed"])
    unit = texts["speed"]
    unknown = [row for row in rows if row["within_limit"] is None and row["loss"] is None]
    if best is base:
        shown = "shown to be " if any(_undecided(row) for row in rows) else ""
        known = any(row["speed"] > base["speed"] for row in unknown)
        nothing = "Nothing with a known loss" if known else "Nothing"
        sentence = f"{nothing} is {shown}faster than {_name(base, texts)} within the quality limit"
        sentence += f": {base['speed']:.1f} {unit}{where}."
    else:
        sentence = (
            f"{_name(best, texts, capital=True)} is {best['speedup']:.2f} × as fast as {_name(base, texts)}{where}"
            f"{_speedup_interval(best)}: {best['speed']:.1f} against {base['speed']:.1f} {unit};"
            f" {_loss(best, texts, max_loss)}."
        )
    remarks = [best["remark"]] if best.get("remark") else []
    if items < ENOUGH_ITEMS:
        remarks.append(
            f"Few {texts.get('items', 'prompts')} ({items}): the speed-ups may be different on others."
            f" Measure at least {ENOUGH_ITEMS}."
        )
    faster = [row for row in rows if row["within_limit"] is False and row["speed"] > best["speed"]]
    if faster:
        row = max(faster, key=lambda row: row["speed"])
        remarks.append(
            f"{_name(row, texts, capital=True)} would be {row['speedup']:.2f} × as fast, but not good enough:"
            f" {_loss(row, texts, max_loss)}."
        )
    undecided = [row for row in rows if _undecided(row) and row["speed"] > best["speed"]]
    if undecided:
        row = max(undecided, key=lambda row: row["speed"])
        enough = Loss(row["loss"], None, row["loss_samples"], row["loss_variance"]).undecided(max_loss, _unit(texts))
        remarks.append(
            f"{_name(row, texts, capital=True)} would be {row['speedup']:.2f} × as fast, but whether it is good enough"
            f" is undecided: {_loss(row, texts, max_loss)}; {enough.removeprefix('undecided: ')}."
        )
        others = ", ".join(other["system"] for other in undecided if other is not row)
        if others:
            remarks.append(f"Also undecided: {others}.")
    reasons = [row.get("loss_missing") or texts["loss_missing"] for row in unknown]
    for reason in dict.fromkeys(reasons):
        of = [row for row, its in zip(unknown, reasons, strict=True) if its == reason]
        names = " and ".join(f"{row['system']} ({row['speedup']:.2f} × as fast)" for row in of)
        are = "is not ranked, because its" if len(of) == 1 else "are not ranked, because their"
        remarks.append(f"{names} {are} loss is unknown: {reason}.")
    return {
        "system": best["system"],
        "speedup": best["speedup"],
        "loss": best["loss"],
        "sentence": sentence,
        "remarks": remarks,
    }


def _name(row: Row, texts: Row, capital: bool = False) -> str:
    if row["mode"] == OFF:
        return f"{'Plain' if capital else 'plain'} {row['model']}"
    return f"{row['model']} with {texts['dynamic']}" + ("" if row["mode"] == ON else f" ({row['mode']})")


def _speedup_interval(row: Row) -> str:
    interval = row.get("speedup_interval")
    if interval is None:
        return ""
    noise = ", within the noise" if interval[0] <= 1 <= interval[1] else ""
    return f" ({interval_text(interval, '{:.2f}')}{noise})"


def _loss(row: Row, texts: Row, max_loss: float) -> str:
    if same_model(row):
        return f"no {texts['loss']}, because the model is the same"
    said = loss_phrase(row["loss"], texts["loss"], texts.get("gain", ""))
    shown = f"{interval_text(row['loss_interval'])}, {row['loss_samples']} {_unit(texts)}"
    return f"{said} ({shown}; limit {max_loss:.2%})"


def _unit(texts: Row) -> str:
    return texts.get("loss_unit", "samples")


def _undecided(row: Row) -> bool:
    return row["within_limit"] is None and row["loss"] is not None
