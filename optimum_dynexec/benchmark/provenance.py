"""The origin of figures: all that is needed to measure them again, and to recognize figures of another setting."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import optimum_dynexec

from ..data.texts import split_source
from ..utils.cpus import usable_cpus
from .arguments import BenchmarkArguments
from .environment import all_versions, code_hash, cpu_name, physical_cores
from .models import describe_model


def machine(threads: int | None) -> dict[str, Any]:
    """The processor, the number of threads, and the system."""
    return {
        "cpu": cpu_name(),
        "logical_cpus": usable_cpus(),
        "physical_cores": physical_cores(),
        "threads": threads,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "kernel": platform.release(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def hash_files(sources: Sequence[str]) -> dict[str, str | None]:
    """SHA-256 of each source that is a file; `None` for other sources, such as a data set on the Hub."""
    hashes: dict[str, str | None] = {}
    for source in sources:
        path = Path(split_source(source)[0])
        hashes[source] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" if os.path.isfile(path) else None
    return hashes


def setting(
    models: Mapping[str, Path], data: Sequence[str], data_hash: str, arguments: BenchmarkArguments
) -> dict[str, Any]:
    """
    Everything that a figure depends on.

    Args:
        models (`Mapping[str, Path]`): directories by name.
        data (`Sequence[str]`): sources of the data.
        data_hash (`str`): hash of the data that is used.
        arguments ([`BenchmarkArguments`]): arguments of the run.
    """
    versions = all_versions()
    versions["optimum-dynexec"] = optimum_dynexec.__version__
    return {
        "machine": machine(arguments.threads),
        "versions": versions,
        "code_hash": code_hash(),
        "models": {name: describe_model(directory) for name, directory in models.items()},
        "data": {"files": hash_files([*data, *arguments.perplexity_data]), "used_hash": data_hash},
        "arguments": arguments.setting(),
    }


def provenance(
    found: Mapping[str, Any],
    arguments: BenchmarkArguments,
    resumed: int,
    command: list[str],
) -> dict[str, Any]:
    """
    Makes the part of the results that describes their origin: the [`setting`], the date and the command of this run.

    Args:
        found (`Mapping[str, Any]`): setting of the run.
        arguments ([`BenchmarkArguments`]): arguments of the run.
        resumed (`int`): number of records from earlier runs.
        command (`list[str]`): words of [`~benchmark.reproducing.command_line`].
    """
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "argv": list(sys.argv),
        "command": command,
        **found,
        "arguments": {**found["arguments"], "repeats": arguments.repeats, "max_loss": arguments.max_loss},
        "records_of_earlier_runs": resumed,
    }
