"""Makes pages from results."""

import shlex
from collections.abc import Sequence
from typing import Any

from ..benchmark.arguments import OFF, ON
from ..benchmark.tables import cell, columns_of, same_model, system_table
from ..utils.intervals import interval_text
from ..utils.losses import loss_phrase
from .errors import not_installed
from .figures import draw_figures


def render(results: Sequence[dict[str, Any]], template: str) -> str:
    """
    Fills in a template.

    Args:
        results (`Sequence[dict]`): checked results.
        template (`str`): name of a file in `templates`.

    Raises:
        [`~report.ReportError`]: if jinja2 or matplotlib is missing.
    """
    try:
        import jinja2
    except ImportError as error:
        raise not_installed("jinja2") from error
    html = template.endswith(".html.jinja")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("optimum_dynexec.report"),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = [_part(result, number, with_figures=html) for number, result in enumerate(results, 1)]
    return environment.get_template(template).render(parts=parts)


def _part(result: dict[str, Any], number: int, with_figures: bool) -> dict[str, Any]:
    first, *others = result["workloads"]
    return {
        "result": result,
        "number": number,
        "title": result["task"],
        "models": ", ".join(result["provenance"]["models"]),
        "answer": result["answer"],
        "ablation": ablation(result, first),
        "multiplication": [multiplied(row) for row in first["multiplication"]],
        "workload": first,
        "others": others,
        "columns": {workload["name"]: columns_of(result, workload) for workload in result["workloads"]},
        "cell": cell,
        "markdown_table": lambda workload: system_table(result, workload),
        "figures": draw_figures(result, first, number) if with_figures else [],
        "warnings": [warning for row in first["systems"] for warning in row["warnings"]],
        "command": shlex.join(result["provenance"]["command"]),
    }


def ablation(result: dict[str, Any], workload: dict[str, Any]) -> dict[str, Any]:
    """
    The systems as a table of models by modes.

    Args:
        result (`dict`): results of a benchmark.
        workload (`dict`): workload of the results.

    Returns:
        `dict`: the titles of `modes`, and `rows` with a `model` and its `cells`, each with the texts `speedup`,
        `speedup_interval`, `speed`, `loss` and `interval`, and `state`: `"best"`, `"allowed"`, `"refused"`,
        `"undecided"` or `"unknown"`.
    """
    rows = workload["systems"]
    by_place = {(row["model"], row["mode"]): row for row in rows}
    models, modes = (list(dict.fromkeys(row[name] for row in rows)) for name in ("model", "mode"))
    dynamic = result["texts"]["dynamic"]
    titles = {OFF: "plain", ON: f"with {dynamic}"}
    best, texts = workload["answer"]["system"], result["texts"]
    states = {None: "undecided", True: "allowed", False: "refused"}

    def _state(row: dict[str, Any]) -> str:
        if row["system"] == best:
            return "best"
        return "unknown" if row["loss"] is None else states[row["within_limit"]]

    def place(row: dict[str, Any]) -> dict[str, str]:
        return {
            "speedup": f"{row['speedup']:.2f} ×",
            "speedup_interval": _speedup_interval(row),
            "speed": f"{row['speed']:.1f} {result['texts']['speed']}",
            "loss": _loss(row, texts),
            "interval": _shown(row, texts),
            "state": _state(row),
        }

    return {
        "modes": [titles.get(mode, mode) for mode in modes],
        "rows": [{"model": model, "cells": [place(by_place[model, mode]) for mode in modes]} for model in models],
    }


def _loss(row: dict[str, Any], texts: dict[str, Any]) -> str:
    if row["loss"] is None:
        return "loss unknown"
    return "no loss (same model)" if same_model(row) else loss_phrase(row["loss"], "loss", texts.get("gain", ""))


def _speedup_interval(row: dict[str, Any]) -> str:
    """Empty if there is none, or for the system that the others are compared with."""
    interval = row.get("speedup_interval")
    return "" if interval is None or interval[0] == interval[1] else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _shown(row: dict[str, Any], texts: dict[str, Any]) -> str:
    """The interval of a loss; empty if there can be no loss, or it is unknown."""
    if row["loss"] is None or same_model(row):
        return ""
    return f"{interval_text(row['loss_interval'])}, {row['loss_samples']} {texts['loss_unit']}"


def multiplied(row: dict[str, Any]) -> str:
    """A sentence about whether the speed-ups multiply."""
    mode = "" if row["mode"] == ON else f" ({row['mode']})"
    return (
        f"{row['model']}{mode}: quantization alone gives {row['quantized']:.2f} ×, dynamic execution alone"
        f" {row['dynamic']:.2f} ×; their product is {row['product']:.2f} ×. Together they give {row['both']:.2f} ×,"
        f" {row['share']:.0%} of the product."
    )
