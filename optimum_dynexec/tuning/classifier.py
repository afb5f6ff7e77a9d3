"""Tuning of classifiers: when samples leave early, in batches of which size, with which precision and threads."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..directory.config import CLASSIFIER_TASKS, DynExecConfig
from ..directory.errors import CalibrationError, TuningError
from ..directory.freshness import load_calibration
from ..directory.tuning import Tuning
from ..early_exit.config import EarlyExitConfig
from ..early_exit.criteria import criterion_class
from .arguments import TuningArguments
from .choice import choose, make_tuning, named, rows, take_back
from .halving import Trial, successive_halving
from .loading import Loads
from .threads import thread_config, thread_counts


OFF, CALIBRATED = "off", "calibrated"
# Samples of a measurement: enough for batches to fill.
CHUNK = 16
# A chunk to choose by, and one to check the choice on.
LEAST_SAMPLES = 2 * CHUNK
BATCH_SIZES = {"latency": (1,), "throughput": (1, 4, 16)}
# Thresholds that are tried beside those that are calibrated, by criterion.
THRESHOLDS = {"max_prob": (0.8, 0.9, 0.95, 0.99), "margin": (0.7, 0.9, 0.97), "entropy": (0.05, 0.2, 0.4)}


def tune_classifier(
    directory: Path, data: Sequence[str | Path], args: TuningArguments, progress: bool = True
) -> Tuning:
    """
    Tries exits and batch sizes first, on half of the samples; what loses too much on them leaves. Of what is left, the
    fastest is taken that is within the limit on the other half too. Then precisions and numbers of threads.

    Args:
        directory (`Path`): of an exported classifier.
        data (`Sequence[str or Path]`): as [`~data.samples.read_samples`] takes it.
        args ([`TuningArguments`]): what is tried.
        progress (`bool`, *optional*, defaults to `True`): show progress bars.

    Raises:
        [`TuningError`]: if the model is no classifier, or there are too few samples.
        `ValueError`: if they cannot be read.
    """
    started = time.monotonic()
    bench = Bench(directory, data, args)
    chosen_on, checked_on = bench.chunks[::2], bench.chunks[1::2]
    load = {"precision": args.precisions[0], "threads": None}
    sizes = BATCH_SIZES[args.objective]
    trials = [
        Trial(f"{name}, batch {size}" if len(sizes) > 1 else name, {"exit": exit_, "batch": size, "load": load})
        for name, exit_ in exits(directory, bench.has_exits).items()
        for size in sizes
    ]
    plain = trials[0]
    # What is guaranteed not to lose too much is not given up for what may turn out to.
    safe = next((trial for trial in trials if trial.options["exit"] == CALIBRATED), None)
    finished = successive_halving(
        trials,
        chosen_on,
        bench.run,
        baseline=plain,
        safe=safe,
        deadline=started + args.time_limit * 2 / 3,
        max_loss=args.max_loss,
        seed=args.seed,
        progress=progress,
    )
    best, loss = confirmed(finished, plain, 0.0, bench, checked_on)
    table = rows(trials, plain, best, True)

    how = [
        Trial(
            f"{best.name}, {precision}, {threads or 'default'} threads",
            {**best.options, "load": {"precision": precision, "threads": threads}},
        )
        for precision in args.precisions
        for threads in [None, *thread_counts(args)]
    ]
    first = how[0]
    reference = Trial(plain.name, plain.options)
    finished = successive_halving(
        [reference, *how],
        chosen_on,
        bench.run,
        baseline=reference,
        deadline=started + args.time_limit,
        max_loss=args.max_loss,
        seed=args.seed,
        progress=progress,
    )
    # Another precision may lose more.
    last, loss = confirmed([trial for trial in finished if trial is not reference], first, loss, bench, checked_on)
    # What has a fate was given up, and is left over if nothing else was within the limit.
    if last.fate or reference.cost <= last.cost:
        last, loss = reference, 0.0
        if best is not plain:
            take_back(table)
    table += rows([reference, *how], reference, last, True)
    return make_tuning(
        directory,
        args,
        data,
        started,
        options={"early_exit": _written(last.options["exit"]), "batch_size": last.options["batch"]},
        precision=last.options["load"]["precision"],
        ov_config=thread_config(last.options["load"]["threads"]),
        baseline=named(reference),
        best=named(last),
        loss=loss,
        samples=sum(last.units),
        table=table,
    )


def confirmed(
    finished: list[Trial], default: Trial, loss: float, bench: "Bench", chunks: list[list[int]]
) -> tuple[Trial, float]:
    """
    The fastest that is within the limit on other samples too; what is not, leaves.

    Args:
        finished (`list[Trial]`): fastest first.
        default ([`Trial`]): what is taken if it is about as fast, or nothing else is within the limit.
        loss (`float`): of the default, which is within it.
        bench ([`Bench`]): measures them.
        chunks (`Sequence[list[int]]`): samples that nothing was chosen by.

    Returns:
        `tuple[Trial, float]`: it, and its loss on these samples.
    """
    while (best := choose(finished or [default], default)) is not default:
        found = bench.loss(best, chunks)
        if found <= bench.args.max_loss:
            return best, found
        best.fate = f"loses {found:.2%} on samples it was not chosen by, more than {bench.args.max_loss:.2%}"
        finished.remove(best)
    return default, loss


def exits(directory: Path, has_exits: bool) -> dict[str, EarlyExitConfig | str | None]:
    """
    The ways of leaving that are tried, by name; first that of not leaving.

    Args:
        directory (`Path`): of the model.
        has_exits (`bool`): whether it has any.
    """
    found: dict[str, EarlyExitConfig | str | None] = {OFF: None}
    if not has_exits:
        return found
    try:
        load_calibration(directory)
        found[CALIBRATED] = CALIBRATED
    except CalibrationError:
        # Not calibrated, or for another model: then it is not tried.
        pass
    for criterion, thresholds in THRESHOLDS.items():
        careful_first = sorted(thresholds, reverse=criterion_class(criterion).higher_is_surer)
        for threshold in careful_first:
            found[f"{criterion} {threshold:g}"] = EarlyExitConfig(criterion=criterion, threshold=threshold)
    return found


def _written(exit_: EarlyExitConfig | str | None) -> Any:
    if not isinstance(exit_, EarlyExitConfig):
        return exit_
    return {name: value for name, value in asdict(exit_).items() if name in ("criterion", "threshold")}


class Bench:
    """The model, loaded in several ways, and the samples that it is asked about."""

    def __init__(self, directory: Path, data: Sequence[str | Path], args: TuningArguments):
        from transformers import AutoConfig

        from ..data.inputs import load_inputs
        from ..data.samples import draw, read_samples

        config = DynExecConfig.from_pretrained(directory)
        if config.task not in CLASSIFIER_TASKS:
            raise TuningError(
                f"{directory} is for the task {config.task!r}, but what can be tuned is {list(CLASSIFIER_TASKS)}"
            )
        self.args = args
        samples = draw(read_samples(data, args.columns, split="validation"), CHUNK * args.max_samples, args.seed)
        if len(samples) < LEAST_SAMPLES:
            raise TuningError(f"tuning takes at least {LEAST_SAMPLES} samples, but there are {len(samples)}")
        self.make, _ = load_inputs(directory, config.task)
        self.samples = samples
        self.loads = Loads(directory, config.task, args.device)
        self.inputs: dict[tuple[int, int], list[dict[str, np.ndarray]]] = {}
        self.chunks = [list(range(at, at + CHUNK)) for at in range(0, len(samples) - CHUNK + 1, CHUNK)]
        model = self.loads.get({"precision": args.precisions[0], "threads": None})
        self.has_exits = bool(model.exit_layers)
        self.labels = samples.label_ids(AutoConfig.from_pretrained(directory).label2id)
        every = [index for chunk in self.chunks for index in chunk]
        self.full = np.concatenate([self.answers(model, chunk, CHUNK, None) for chunk in self.chunks])
        self.right = self.full if self.labels is None else self.labels[every]

    def batches(self, chunk: list[int], size: int) -> list[dict[str, np.ndarray]]:
        """A chunk's inputs in batches, which are made once."""
        key = (chunk[0], size)
        if key not in self.inputs:
            parts = [chunk[at : at + size] for at in range(0, len(chunk), size)]
            self.inputs[key] = [self.make(self.samples.select(part), self.args.max_length) for part in parts]
        return self.inputs[key]

    def answers(self, model: Any, chunk: list[int], size: int, exit_: Any) -> np.ndarray:
        found = [model(**inputs, early_exit=exit_).logits.argmax(-1) for inputs in self.batches(chunk, size)]
        return np.concatenate([np.asarray(part) for part in found])

    def run(self, trial: Trial, chunk: list[int]) -> tuple[float, int, float]:
        model, size = self.loads.get(trial.options["load"]), trial.options["batch"]
        self.batches(chunk, size)
        start = time.perf_counter()
        said = self.answers(model, chunk, size, trial.options["exit"])
        seconds = time.perf_counter() - start
        full, right = self.full[chunk], self.right[chunk]
        # Accuracy lost; an exit that is right where the full model is not makes up for one that is wrong.
        return seconds, len(chunk), float((full == right).sum() - (said == right).sum())

    def loss(self, trial: Trial, chunks: list[list[int]]) -> float:
        """On samples that it has not been measured on."""
        return sum(self.run(trial, chunk)[2] for chunk in chunks) / (CHUNK * len(chunks))
