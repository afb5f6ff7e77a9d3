"""Tables of results."""

from typing import Any

from .markdown import markdown, without_sign_of_zero


def columns_of(results: dict[str, Any], workload: dict[str, Any]) -> list[dict[str, str]]:
    """
    Gives the columns of a table of systems: those of all tasks, and those of the task. Columns without figures are
    omitted.

    Args:
        results (`dict`): results of [`~benchmark.run_benchmark`].
        workload (`dict`): one of their workloads.
    """
    texts = results["texts"]
    common = [
        {"key": "speed", "title": texts["speed"], "format": "{:.1f}", "help": "end-to-end speed"},
        {
            "key": "speedup",
            "title": "speed-up",
            "format": "{:.2f} ×",
            "help": "speed relative to the first row",
            "interval": "speedup_interval",
        },
    ]
    energy = {
        "key": "energy_joules",
        "title": "J",
        "format": "{:.2f}",
        "help": f"energy of {texts['request']} in joules",
    }
    loss = {
        "key": "loss",
        "title": "loss",
        "format": "{:+.2%}",
        "help": texts["loss"],
        "interval": "loss_interval",
        "note": "; none for the same model" + ("; a value below 0 is a gain" if texts.get("gain") else ""),
        "missing": "unknown",
    }
    every = [*common, *results["columns"], energy, loss]
    with_interval = ", with its 95% interval"
    return [
        {
            **column,
            "help": column["help"] + (with_interval if column.get("interval") else "") + column.get("note", ""),
        }
        for column in every
        if any(row.get(column["key"]) is not None for row in workload["systems"])
    ]


def cell(row: dict[str, Any], column: dict[str, str]) -> str:
    """A figure as text, with its 95% interval if it has one; empty if there is no figure."""
    value = row.get(column["key"])
    if value is None:
        return column.get("missing", "")
    if column["key"] == "loss" and same_model(row):
        return "none"
    text = _formatted(value, column)
    interval = row.get(column.get("interval", ""))
    # A figure that is always the same has no uncertainty to show.
    if interval is None or interval[0] == interval[1]:
        return text
    return f"{text} ({_formatted(interval[0], column)} to {_formatted(interval[1], column)})"


def same_model(row: dict[str, Any]) -> bool:
    """Whether a system has no loss because its model is the first one, so that nothing had to be measured."""
    return row["loss"] is not None and not row.get("loss_samples")


def _formatted(value: float, column: dict[str, str]) -> str:
    return without_sign_of_zero(column["format"].format(value))


def system_table(results: dict[str, Any], workload: dict[str, Any]) -> str:
    """The figures of all systems, as Markdown."""
    columns = columns_of(results, workload)
    header = ["model/mode", *(column["title"] for column in columns)]
    return markdown(header, [[row["system"], *(cell(row, c) for c in columns)] for row in workload["systems"]])
