"""From results to pages."""

import shlex
from collections.abc import Sequence
from typing import Any

from ..benchmark.arguments import OFF, ON
from ..benchmark.markdown import without_sign_of_zero
from ..benchmark.tables import cell, columns_of, system_table
from .errors import NEEDS, ReportError
from .figures import draw_figures


def render(results: Sequence[dict[str, Any]], template: str) -> str:
    """
    Fills in a template.

    Args:
        results (`Sequence[dict]`): checked.
        template (`str`): name of a file in `templates`.

    Raises:
        [`~report.ReportError`]: if jinja2 or matplotlib is missing.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ReportError(NEEDS.format("jinja2")) from error
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
        result (`dict`): of a benchmark.
        workload (`dict`): one of its workloads.

    Returns:
        `dict`: the titles of `modes`, and `rows` with a `model` and its `cells`, each with the texts `speedup`,
        `speed` and `loss`, and `state`: `"best"`, `"allowed"`, `"refused"` or `"unknown"`.
    """
    rows = workload["systems"]
    by_place = {(row["model"], row["mode"]): row for row in rows}
    models, modes = (list(dict.fromkeys(row[name] for row in rows)) for name in ("model", "mode"))
    dynamic = result["texts"]["dynamic"]
    titles = {OFF: "plain", ON: f"with {dynamic}"}
    best = workload["answer"]["system"]
    states = {None: "unknown", True: "allowed", False: "refused"}

    def place(row: dict[str, Any]) -> dict[str, str]:
        return {
            "speedup": f"{row['speedup']:.2f} ×",
            "speed": f"{row['speed']:.1f} {result['texts']['speed']}",
            "loss": "loss unknown" if row["loss"] is None else "loss " + without_sign_of_zero(f"{row['loss']:.2%}"),
            "state": "best" if row["system"] == best else states[row["within_limit"]],
        }

    return {
        "modes": [titles.get(mode, mode) for mode in modes],
        "rows": [{"model": model, "cells": [place(by_place[model, mode]) for mode in modes]} for model in models],
    }


def multiplied(row: dict[str, Any]) -> str:
    """Whether savings multiply, in a sentence."""
    mode = "" if row["mode"] == ON else f" ({row['mode']})"
    return (
        f"{row['model']}{mode}: quantized alone {row['quantized']:.2f} ×, dynamic alone {row['dynamic']:.2f} ×, their"
        f" product {row['product']:.2f} ×. Both together: {row['both']:.2f} ×, {row['share']:.0%} of the product."
    )
