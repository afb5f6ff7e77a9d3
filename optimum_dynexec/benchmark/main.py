"""Runs a benchmark and writes its results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ..utils.atomic import write_atomically
from ..utils.intervals import speedup_interval
from .ablation import add_ratios, answer, multiplication
from .arguments import BenchmarkArguments
from .energy import EnergyMeter
from .errors import BenchmarkError
from .measuring import measure
from .models import check_models
from .provenance import provenance, setting
from .records import Records
from .reproducing import command_line
from .systems import System, make_systems
from .tasks import BenchmarkTask, task_class


FORMAT = "optimum-dynexec-benchmark"
FORMAT_VERSION = 1
RECORDS_SUFFIX = ".records.jsonl"


def run_benchmark(
    models: Mapping[str, str | Path],
    data: Sequence[str | Path],
    arguments: BenchmarkArguments | None = None,
    output: str | Path | None = None,
) -> dict[str, Any]:
    """
    Compares exported models, with and without dynamic execution, in turns within one run.

    With a model and its quantized exports, this is the ablation {baseline, quantized, dynamic, both}.

    Args:
        models (`Mapping[str, str or Path]`):
            Directories of exports by name, all for the same task. The first one without dynamic execution is the
            baseline.
        data (`Sequence[str or Path]`):
            Test data. For decoders and diffusion: prompts, as accepted by [`~data.texts.read_texts`], or the questions
            of Spec-Bench. For classifiers: samples, as accepted by [`~data.samples.read_samples`]. They must not have
            been used in training or calibration.
        arguments ([`BenchmarkArguments`], *optional*): settings of the benchmark.
        output (`str` or `Path`, *optional*):
            JSON file for the results. Records are stored next to it, so that the same call resumes where an earlier
            one was interrupted. If not set, nothing is written.

    Returns:
        `dict[str, Any]`: the results that are written. docs/benchmarking.md describes them.

    Raises:
        [`~benchmark.BenchmarkError`]: if the models cannot be compared, or an argument is not accepted.
        `ValueError`: if the data cannot be read or does not suit the models.
    """
    arguments = arguments or BenchmarkArguments()
    directories, task_name = check_models(models)
    sources = [str(source) for source in data]
    if not sources:
        raise BenchmarkError("there is no data to measure on: give `data` (--data)")
    path = None if output is None else Path(output)
    if path is not None and path.is_dir():
        # Checked now, not after all measurements.
        raise BenchmarkError(f"the output {path} is a directory; give a file for the results")
    task = task_class(task_name)(directories, sources, arguments)
    systems = make_systems(directories, arguments)
    found = setting(directories, sources, task.data_hash, arguments)
    records: Records[dict[str, Any]] = Records(path and path.with_name(path.name + RECORDS_SUFFIX), found, dict)
    meter = EnergyMeter()
    measure(task, systems, records, meter, arguments.repeats, arguments.seed, arguments.progress)
    results = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": task_name,
        **task.described(),
        **summarize(task, systems, records, arguments.max_loss),
        "energy": {"available": meter.reason is None, "reason": meter.reason},
        "images": task.images(systems, records),
        "provenance": provenance(
            found, arguments, records.resumed, command_line(directories, sources, arguments, path)
        ),
    }
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
    return results


def summarize(
    task: BenchmarkTask, systems: Sequence[System], records: Records[dict[str, Any]], max_loss: float
) -> dict[str, Any]:
    """
    Computes the results from the records.

    Args:
        task ([`~benchmark.tasks.base.BenchmarkTask`]): task that was measured.
        systems (`Sequence[System]`): all systems.
        records ([`Records`]): records of all systems, items and repeats.
        max_loss (`float`): maximum loss of quality.

    Returns:
        `dict[str, Any]`: the `workloads`, and the `answer` of the first one.
    """
    workloads = []
    texts = task.described()["texts"]
    groups = task.workloads()
    for name, items in groups.items():
        rows = [_row(task, system, systems[0], items, records) for system in systems]
        add_ratios(rows, max_loss)
        where = f" at {name}" if len(groups) > 1 and name.startswith("batch") else ""
        workloads.append(
            {
                "name": name,
                "items": len(items),
                "systems": rows,
                "multiplication": multiplication(rows),
                "answer": answer(rows, texts, max_loss, where, len(items)),
            }
        )
    return {"answer": workloads[0]["answer"], "max_loss": max_loss, "workloads": workloads}


def _row(
    task: BenchmarkTask, system: System, baseline: System, items: Sequence[str], records: Records[dict[str, Any]]
) -> dict[str, Any]:
    energy = [run["energy_joules"] for item in items for run in records.runs(system.name, item)]
    # Of both, the work and the time of each item.
    runs = [[records.runs(name, item) for item in items] for name in (system.name, baseline.name)]
    measured = [
        ([task.work(repeats[0]) for repeats in of], [median(run["seconds"] for run in repeats) for repeats in of])
        for of in runs
    ]
    interval = speedup_interval(*measured[0], *measured[1])
    return {
        "system": system.name,
        "model": system.model,
        "mode": system.mode,
        "options": system.options,
        **task.figures(system, items, records),
        "speedup_interval": None if interval is None else list(interval),
        "energy_joules": None if None in energy else sum(energy) / len(energy),
    }
