"""The command that repeats a benchmark."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from .arguments import BenchmarkArguments


# The command-line options of fields that are not given by their own name and value.
OPTIONS = {
    "dynamic": lambda value: ["--dynamic", json.dumps(value)],
    "variants": lambda value: [
        word for name, options in value.items() for word in ("--variant", f"{name}={json.dumps(options)}")
    ],
    "perplexity_data": lambda value: [word for source in value for word in ("--perplexity-data", source)],
    "batch_sizes": lambda value: ["--batch-sizes", ",".join(map(str, value))],
    "columns": lambda value: [
        word
        for name in ("text", "text_pair", "label")
        if getattr(value, name) is not None
        for word in (f"--{name.replace('_', '-')}-column", getattr(value, name))
    ],
    "progress": lambda value: [],
}


def command_line(
    models: Mapping[str, Path], data: Sequence[str], arguments: BenchmarkArguments, output: Path | None
) -> list[str]:
    """
    Gives the words of the `optimum-cli` command that measures the same, even if this run was started in Python.

    Args:
        models (`Mapping[str, Path]`): directories by name.
        data (`Sequence[str]`): sources of the data.
        arguments ([`BenchmarkArguments`]): arguments of the run. Those with their default value are omitted.
        output (`Path`, *optional*): file for the results.
    """
    words = ["optimum-cli", "dynexec", "benchmark", *(f"{name}={directory}" for name, directory in models.items())]
    for source in data:
        words += ["--data", source]
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        if value != _default(field):
            option = OPTIONS.get(field.name)
            words += option(value) if option else [f"--{field.name.replace('_', '-')}", str(value)]
    return [*words, "--out", str(output or "results.json")]


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()
