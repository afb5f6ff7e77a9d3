"""Tuning of classifiers: early exit, batch size, precision and number of threads."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..directory.config import CLASSIFIER_TASKS, DynExecConfig
from ..directory.errors import CalibrationError, TuningError
from ..directory.freshness import load_calibration
from ..directory.one_label import check_one_label
from ..directory.tuning import Tuning
from ..early_exit.config import EarlyExitConfig
from ..early_exit.criteria import criterion_class
from ..utils.intervals import needed_samples, planned_samples, proportion_interval, within_limit
from .arguments import TuningArguments
from .choice import compared, decide, make_tuning, rows
from .halving import Measurement, Trial, loss_text, successive_halving
from .loading import Loads
from .threads import thread_config, thread_counts


if TYPE_CHECKING:
    from optimum.intel.openvino.modeling_base import OVBaseModel


OFF, CALIBRATED = "off", "calibrated"
# The number of samples in a measurement: enough to fill batches.
CHUNK = 16
# The default for the maximum number of samples that settings are chosen on.
CHOSEN_ON = 16 * CHUNK
# One chunk to choose a setting on, and one to check the choice on.
LEAST_SAMPLES = 2 * CHUNK
BATCH_SIZES = {"latency": (1,), "throughput": (1, 4, 16)}
# Thresholds that are tried in addition to the calibrated ones, by criterion.
THRESHOLDS = {"max_prob": (0.8, 0.9, 0.95, 0.99), "margin": (0.7, 0.9, 0.97), "entropy": (0.05, 0.2, 0.4)}


def tune_encoder(directory: Path, data: Sequence[str | Path], args: TuningArguments, progress: bool = True) -> Tuning:
    """
    Tunes a classifier. First it tries exits and batch sizes on a part of the samples, and drops settings that lose too
    much. It continues with the fastest setting that is shown to be within the limit on the other samples. Then it
    tries precisions and numbers of threads. The leader is chosen if a last comparison shows that it is faster than the
    full model.

    Args:
        directory (`Path`): directory of an exported classifier.
        data (`Sequence[str or Path]`): samples, as accepted by [`~data.samples.read_samples`].
        args ([`TuningArguments`]): objective, limits and settings to try.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Raises:
        [`TuningError`]: if the model is not a classifier, or there are too few samples.
        `ValueError`: if the samples cannot be read.
    """
    started = time.monotonic()
    bench = Bench(directory, data, args)
    load = {"precision": args.precisions[0], "threads": None}
    sizes = BATCH_SIZES[args.objective]
    trials = [
        Trial(f"{name}, batch {size}" if len(sizes) > 1 else name, {"exit": exit_, "batch": size, "load": load})
        for name, exit_ in exits(directory, bench.has_exits).items()
        for size in sizes
    ]
    plain = trials[0]
    # The calibrated setting, whose loss is guaranteed, is kept: faster settings may turn out to lose too much.
    safe = next((trial for trial in trials if trial.options["exit"] == CALIBRATED), None)
    finished = successive_halving(
        trials,
        bench.chosen_on,
        bench.run,
        baseline=plain,
        safe=safe,
        deadline=started + args.time_limit / 2,
        max_loss=args.max_loss,
        seed=args.seed,
        progress=progress,
    )
    best = confirmed(finished, plain, bench)
    table = rows(trials, plain, None, True)

    how = [
        Trial(
            f"{best.name}, {precision}, {threads or 'default'} threads",
            {**best.options, "load": {"precision": precision, "threads": threads}},
        )
        for precision in args.precisions
        for threads in [None, *thread_counts(args)]
    ]
    reference = plain.again()
    finished = successive_halving(
        [reference, *how],
        bench.chosen_on,
        bench.run,
        baseline=reference,
        deadline=started + args.time_limit * 3 / 4,
        max_loss=args.max_loss,
        seed=args.seed,
        progress=progress,
    )
    leader = confirmed(finished, reference, bench)
    table += rows([reference, *how], reference, None, True)
    ways = [] if leader.options == plain.options else [leader]
    found = decide(
        plain,
        ways,
        bench.chosen_on,
        bench.run,
        deadline=started + args.time_limit,
        seed=args.seed,
        progress=progress,
    )
    reference, last = found.trials[0], found.chosen
    table += rows(found.trials, reference, found.outcomes, True)
    checked = None if last is reference else bench.check(last)
    return make_tuning(
        directory,
        args,
        data,
        started,
        options={"early_exit": _written(last.options["exit"]), "batch_size": last.options["batch"]},
        precision=last.options["load"]["precision"],
        ov_config=thread_config(last.options["load"]["threads"]),
        loss=0.0 if checked is None else checked.loss,
        loss_interval=None if checked is None else list(checked.loss_interval or ()),
        loss_samples=0 if checked is None else checked.judged,
        samples=CHUNK * min(len(bench.chosen_on), len(last.seconds)),
        table=table,
        **bench.full_accuracy(),
        **compared(found, reference),
    )


def confirmed(finished: Sequence[Trial], default: Trial, bench: "Bench") -> Trial:
    """
    Finds the fastest setting that is also within the limit on the other samples. Thresholds without a guarantee must
    be shown to be within the limit. Calibrated thresholds and other precisions must only not be shown to exceed it.

    Args:
        finished (`Sequence[Trial]`): settings, fastest first.
        default ([`Trial`]): setting to choose if it is the fastest, or no other setting is within the limit.
        bench ([`Bench`]): bench that measures the settings.
    """
    limit = bench.args.max_loss
    for trial in finished:
        if trial is default:
            break
        checked = bench.check(trial)
        within = within_limit(checked.loss_interval, limit)
        if within or (within is None and not isinstance(trial.options["exit"], EarlyExitConfig)):
            return trial
        said = f"{loss_text(checked)} on the samples that were not used to choose it"
        trial.fate = f"loses {said}, more than {limit:.2%}" if within is False else _undecided(checked, limit, said)
    return default


def _undecided(checked: Trial, limit: float, said: str) -> str:
    variance = (checked.lost + checked.gained) / checked.judged - checked.loss**2
    needed = needed_samples(limit, checked.loss, variance)
    enough = "no number of samples would decide" if needed is None else f"about {needed} samples would decide"
    return f"undecided: loses {said}; the limit is {limit:.2%}; {enough}"


def checked_on(max_loss: float) -> int:
    """The number of samples that shows that a loss is within a limit. For a limit of 0, no number does: 1% is used."""
    return planned_samples(max_loss or 0.01)


def exits(directory: Path, has_exits: bool) -> dict[str, EarlyExitConfig | str | None]:
    """
    Gives the settings of early exit to try, by name. The first one is without early exit.

    Args:
        directory (`Path`): directory of the model.
        has_exits (`bool`): whether the model has exits.
    """
    found: dict[str, EarlyExitConfig | str | None] = {OFF: None}
    if not has_exits:
        return found
    try:
        load_calibration(directory)
        found[CALIBRATED] = CALIBRATED
    except CalibrationError:
        # The model is not calibrated, or the calibration is for another model: it is not tried.
        pass
    for criterion, thresholds in THRESHOLDS.items():
        careful_first = sorted(thresholds, reverse=criterion_class(criterion).higher_is_surer)
        for threshold in careful_first:
            found[f"{criterion} {threshold:g}"] = EarlyExitConfig(criterion=criterion, threshold=threshold)
    return found


def _written(exit_: EarlyExitConfig | str | None) -> dict[str, Any] | str | None:
    if not isinstance(exit_, EarlyExitConfig):
        return exit_
    return {name: value for name, value in asdict(exit_).items() if name in ("criterion", "threshold")}


class Bench:
    """Measures settings: holds the model, loaded in several ways, and the samples."""

    def __init__(self, directory: Path, data: Sequence[str | Path], args: TuningArguments):
        from transformers import AutoConfig

        from ..data.inputs import load_inputs
        from ..data.samples import draw, read_samples

        config = DynExecConfig.from_pretrained(directory)
        if config.task not in CLASSIFIER_TASKS:
            raise TuningError(
                f"{directory} is for the task {config.task!r}, but only {list(CLASSIFIER_TASKS)} can be tuned"
            )
        self.args = args
        # Settings are chosen on one half, with no more samples than speed needs. The limit is checked on the others.
        most = CHOSEN_ON + checked_on(args.max_loss) if args.max_samples is None else CHUNK * args.max_samples
        samples = draw(read_samples(data, args.columns, split="validation"), most, args.seed)
        if len(samples) < LEAST_SAMPLES:
            raise TuningError(f"tuning needs at least {LEAST_SAMPLES} samples, but there are {len(samples)}")
        model_config = AutoConfig.from_pretrained(directory)
        check_one_label(model_config)
        self.labels = samples.label_ids(model_config.label2id)
        self.make, _ = load_inputs(directory, config.task)
        self.samples = samples
        self.loads = Loads(directory, config.task, args.device)
        self.inputs: dict[tuple[int, int], list[dict[str, np.ndarray]]] = {}
        self.chunks = [list(range(at, at + CHUNK)) for at in range(0, len(samples) - CHUNK + 1, CHUNK)]
        half = min(len(self.chunks) // 2, CHOSEN_ON // CHUNK)
        self.chosen_on, self.checked_on = self.chunks[:half], self.chunks[half:]
        self._checked: dict[str, Trial] = {}
        model = self.loads.get({"precision": args.precisions[0], "threads": None})
        self.has_exits = bool(model.exit_layers)
        every = [index for chunk in self.chunks for index in chunk]
        self.full = np.concatenate([self.answers(model, chunk, CHUNK, None) for chunk in self.chunks])
        self.right = self.full if self.labels is None else self.labels[every]

    def full_accuracy(self) -> dict[str, Any]:
        """The fields of a [`Tuning`] on the accuracy of the full model."""
        if self.labels is None:
            return {}
        correct, samples = int((self.full == self.right).sum()), len(self.right)
        return {
            "full_accuracy": correct / samples,
            "full_accuracy_interval": list(proportion_interval(correct, samples)),
            "full_samples": samples,
        }

    def batches(self, chunk: list[int], size: int) -> list[dict[str, np.ndarray]]:
        """The inputs of a chunk in batches, made once."""
        key = (chunk[0], size)
        if key not in self.inputs:
            parts = [chunk[at : at + size] for at in range(0, len(chunk), size)]
            self.inputs[key] = [self.make(self.samples.select(part), self.args.max_length) for part in parts]
        return self.inputs[key]

    def answers(
        self, model: "OVBaseModel", chunk: list[int], size: int, exit_: EarlyExitConfig | str | None
    ) -> np.ndarray:
        found = [model(**inputs, early_exit=exit_).logits.argmax(-1) for inputs in self.batches(chunk, size)]
        return np.concatenate([np.asarray(part) for part in found])

    def run(self, trial: Trial, chunk: list[int]) -> Measurement:
        model, size = self.loads.get(trial.options["load"]), trial.options["batch"]
        self.batches(chunk, size)
        start = time.perf_counter()
        said = self.answers(model, chunk, size, trial.options["exit"])
        seconds = time.perf_counter() - start
        # The loss of accuracy: a right answer where the full model is wrong makes up for a wrong one.
        full, own = self.full[chunk] == self.right[chunk], said == self.right[chunk]
        return Measurement(seconds, len(chunk), int((full & ~own).sum()), int((own & ~full).sum()))

    def check(self, trial: Trial) -> Trial:
        """Measures the answers of a trial, once, on the samples that no setting was chosen on."""
        # The number of threads does not change the answers.
        key = repr([trial.options["exit"], trial.options["batch"], trial.options["load"]["precision"]])
        if key not in self._checked:
            checked = self._checked[key] = trial.again()
            for chunk in self.checked_on:
                checked.judge(self.run(trial, chunk))
        return self._checked[key]
