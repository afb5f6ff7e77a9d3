"""Successive halving (Jamieson and Talwalkar, arXiv 1502.07943): each round drops the slower half of the trials."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tqdm import tqdm

from ..utils.intervals import CONFIDENCE, Interval, interval_text, paired_loss_interval, typical_ratio


# Machines are noisy: no setting is dropped after fewer runs.
LEAST_RUNS = 5


class Measurement(NamedTuple):
    """
    The measurement of one run.

    Args:
        seconds (`float`): time of the run in seconds.
        units (`int`): number of tokens or samples in the run.
        lost (`int`): for classifiers, number of samples on which only the full model is right.
        gained (`int`): for classifiers, number of samples on which only this setting is right.
    """

    seconds: float
    units: int
    lost: int = 0
    gained: int = 0


@dataclass(eq=False)  # two trials with equal measurements are different
class Trial:
    """
    A setting and its measurements.

    Args:
        name (`str`): name of the setting for the reader.
        options (`dict[str, Any]`): options of the setting.
        seconds (`list[float]`): time of each run in seconds.
        units (`list[int]`): number of tokens or samples in each run.
        lost (`int`): for classifiers, number of samples on which only the full model is right.
        gained (`int`): for classifiers, number of samples on which only this setting is right.
        judged (`int`): for classifiers, number of different samples so far.
        fate (`str`): reason why the setting was dropped; empty if it was not.
    """

    name: str
    options: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    lost: int = 0
    gained: int = 0
    judged: int = 0
    fate: str = ""

    @property
    def cost(self) -> float:
        """Seconds per unit so far."""
        units = sum(self.units)
        return sum(self.seconds) / units if units else math.inf

    @property
    def loss(self) -> float:
        """Mean loss of a sample so far."""
        return (self.lost - self.gained) / max(self.judged, 1)

    @property
    def loss_interval(self) -> Interval | None:
        """The confidence interval of the loss; `None` if there are no answers yet."""
        return paired_loss_interval(self.lost, self.gained, self.judged) if self.judged else None

    def add(self, measured: Measurement, judge: bool = True) -> None:
        """Adds the time of a run. Its answers are added too, except if those on the same samples are already there."""
        self.seconds.append(measured.seconds)
        self.units.append(measured.units)
        if judge:
            self.judge(measured)

    def judge(self, measured: Measurement) -> None:
        """Adds the answers of a run, but not its time."""
        self.lost += measured.lost
        self.gained += measured.gained
        self.judged += measured.units

    def again(self) -> "Trial":
        """The same setting without measurements."""
        return Trial(self.name, self.options)


def speed_ratio(trial: Trial, other: Trial, confidence: float = CONFIDENCE) -> tuple[float, Interval | None]:
    """
    The speed of a trial relative to another in the rounds that both were measured in, and its confidence interval.
    """
    rounds = min(len(trial.seconds), len(other.seconds))
    theirs = other.seconds[:rounds]
    # Times are scaled to the same number of units, because one of the trials may have given longer answers.
    runs = zip(trial.seconds, trial.units, other.units, strict=False)
    own = [seconds * work / units for seconds, units, work in runs][:rounds]
    return typical_ratio(theirs, own, confidence)


# (trial, item) -> measurement
Run = Callable[[Trial, Any], Measurement]


def successive_halving(
    trials: Sequence[Trial],
    items: Sequence[Any],
    run: Run,
    *,
    baseline: Trial,
    safe: Trial | None = None,
    deadline: float,
    max_loss: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> list[Trial]:
    """
    Measures all trials on a few items, the faster half on the same number of further items, and so on. Runs on the
    same item follow each other directly, in random order, so that other work of the machine affects all trials. The
    first run of each trial is not counted. If there are few items, they are run again, so that no trial is dropped
    after fewer than five runs.

    This is a search: its leader may lead by luck, which [`~tuning.choice.decide`] checks.

    Args:
        trials (`Sequence[Trial]`): settings to try.
        items (`Sequence`): items to try them on, at least one.
        run (`Callable`): function that runs a trial on an item.
        baseline ([`Trial`]): one of the trials, which is never dropped.
        safe ([`Trial`], *optional*):
            Another trial that is not dropped for its speed. It remains if the faster trials turn out to lose too much
            after all others were dropped.
        deadline (`float`): end of the measurements, by `time.monotonic`.
        max_loss (`float`, *optional*): maximum loss. Trials with a greater loss are dropped.
        seed (`int`, *optional*, defaults to 0): random seed of the order.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.

    Returns:
        `list[Trial]`: trials that were not dropped, fastest first, `baseline` among them.
    """
    order = random.Random(seed)
    alive = list(trials)
    rounds = max(1, math.ceil(math.log2(max(len(alive), 2))))
    runs = max(len(items), rounds * LEAST_RUNS)
    share = runs // rounds
    for trial in alive:
        run(trial, items[0])
        if time.monotonic() > deadline:
            break
    with tqdm(total=runs, desc="tuning", unit="run", disable=not progress) as bar:
        for number in range(rounds):
            last = number == rounds - 1
            for index in range(number * share, runs if last else (number + 1) * share):
                for trial in order.sample(alive, len(alive)):
                    trial.add(run(trial, items[index % len(items)]), judge=index < len(items))
                bar.update()
                if progress:
                    bar.set_postfix_str(by_speed(alive, baseline)[0].name)
                # Only between items have all remaining trials been measured on the same items.
                if time.monotonic() > deadline:
                    return _ended(alive, baseline, max_loss)
            alive = _within(alive, baseline, max_loss)
            if not last and len(alive) > 2:
                alive = _faster_half(alive, baseline, safe)
    return _ended(alive, baseline, max_loss)


def by_speed(trials: Sequence[Trial], baseline: Trial) -> list[Trial]:
    """The trials, fastest first, by their typical rounds: a single disturbed round does not decide."""
    return sorted(trials, key=lambda trial: -speed_ratio(trial, baseline)[0])


def _within(alive: list[Trial], baseline: Trial, max_loss: float | None) -> list[Trial]:
    if max_loss is None:
        return alive
    for trial in alive:
        if trial is not baseline and trial.loss > max_loss:
            trial.fate = f"loses {loss_text(trial)}, more than {max_loss:.2%}"
    return [trial for trial in alive if not trial.fate]


def loss_text(trial: Trial) -> str:
    """`1.25% (95% interval 0.22% to 6.75%, 80 samples)`"""
    return f"{trial.loss:.2%} ({interval_text(trial.loss_interval)}, {trial.judged} samples)"


def _faster_half(alive: list[Trial], baseline: Trial, safe: Trial | None) -> list[Trial]:
    kept = [trial for trial in alive if trial in (baseline, safe)]
    others = by_speed([trial for trial in alive if trial not in kept], baseline)
    keep = max(1, math.ceil(len(others) / 2))
    for trial in others[keep:]:
        trial.fate = f"slower than other settings after {len(trial.seconds)} runs"
    return [*kept, *others[:keep]]


def _ended(alive: list[Trial], baseline: Trial, max_loss: float | None) -> list[Trial]:
    return by_speed(_within(alive, baseline, max_loss), baseline)
