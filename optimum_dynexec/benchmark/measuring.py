"""Runs systems in turns."""

import random
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from .energy import EnergyMeter
from .records import Key, Records
from .systems import System
from .tasks.base import BenchmarkTask


def schedule(systems: Sequence[System], items: Sequence[str], repeats: int, seed: int) -> list[tuple[Key, System]]:
    """
    Gives the order of the runs: item by item, and for each item all systems one after the other. Both orders are drawn
    again for every repeat. Other work of the machine thus affects all systems equally.
    """
    planned = []
    for repeat in range(repeats):
        draw = random.Random(f"{seed} {repeat}")
        for item in draw.sample(list(items), len(items)):
            for system in draw.sample(list(systems), len(systems)):
                planned.append((Key(system.name, item, repeat), system))
    return planned


def measure(
    task: BenchmarkTask,
    systems: Sequence[System],
    records: Records[dict[str, Any]],
    meter: EnergyMeter,
    repeats: int,
    seed: int,
    progress: bool,
) -> None:
    """
    Executes all runs that have no record yet, and keeps a record of each.

    Args:
        task ([`~benchmark.tasks.base.BenchmarkTask`]): task to measure. It is loaded if there is something to run.
        systems (`Sequence[System]`): systems to compare.
        records ([`Records`]): records of the same setting.
        meter ([`EnergyMeter`]): meter that is read before and after each run.
        repeats, seed (`int`): number of repeats and random seed of the order, see [`schedule`].
        progress (`bool`): whether to show a progress bar.
    """
    todo = [entry for entry in schedule(systems, task.items, repeats, seed) if entry[0] not in records]
    if todo:
        task.load(systems)
        for system in systems:
            for item in task.warm_up_items():
                task.run(system, item, warm_up=True)
    for key, system in tqdm(todo, desc="benchmark", unit="run", disable=not progress, smoothing=0.05):
        before = meter.read()
        record = task.run(system, key.item, first=key.repeat == 0)
        records.add(key, {**record, "energy_joules": meter.joules_since(before)})
    task.measure_quality(systems, records)
