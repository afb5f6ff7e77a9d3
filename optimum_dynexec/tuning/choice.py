"""Chooses from the measurements and writes the choice."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..directory.config import DynExecConfig
from ..directory.tuning import Tuning, head_hashes, this_machine
from ..utils.intervals import CONFIDENCE
from ..version import __version__
from .arguments import TuningArguments
from .halving import Run, Trial, by_speed, speed_ratio


Row = dict[str, Any]


# A tuned setting must be faster by at least this share.
MARGIN = 0.02
# The number of rounds in the last comparison. Each round runs every compared setting once.
ROUNDS = 24
CHOSEN = "chosen"


@dataclass(frozen=True)
class Decision:
    """
    Result of the last comparison.

    Args:
        chosen ([`Trial`]): chosen setting.
        sentence (`str`): reason for the choice.
        trials (`list[Trial]`): compared settings with their measurements; the default is first.
        outcomes (`list[str]`): outcome of each setting, for the table.
    """

    chosen: Trial
    sentence: str
    trials: list[Trial]
    outcomes: list[str]


def decide(
    default: Trial,
    challengers: Sequence[Trial],
    items: Sequence[Any],
    run: Run,
    *,
    deadline: float,
    seed: int = 0,
    progress: bool = True,
) -> Decision:
    """
    Compares the leaders again with the default, in turns, and chooses one only if it is shown to be faster: a leader
    of many may lead by luck, which the search itself cannot show. Each round is a pair, so that other work of the
    machine affects both. If the machine is too noisy, the default is kept.

    Args:
        default ([`Trial`]): untuned setting.
        challengers (`Sequence[Trial]`): settings that may be faster.
        items (`Sequence`): inputs to run, in turns.
        run (`Callable`): function that runs a setting on an item.
        deadline (`float`): end of the measurements, by `time.monotonic`.
        seed (`int`, *optional*, defaults to 0): random seed of the order.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.
    """
    order = random.Random(f"{seed} last")
    base, *others = trials = [default.again(), *(challenger.again() for challenger in challengers)]
    for trial in trials:
        run(trial, items[0])
    for index in tqdm(range(ROUNDS), desc="tuning: last comparison", unit="round", disable=not progress):
        for trial in order.sample(trials, len(trials)):
            trial.add(run(trial, items[index % len(items)]), judge=index < len(items))
        if time.monotonic() > deadline:
            break
    # Of several challengers, one may seem faster by chance: all intervals hold together with the confidence of one.
    confidence = 1 - (1 - CONFIDENCE) / max(len(others), 1)
    verdicts = [_verdict(trial, base, confidence) for trial in others]
    faster = [trial for trial, (shown, _) in zip(others, verdicts, strict=True) if shown]
    outcomes = [sentence for _, sentence in verdicts]
    if faster:
        best = by_speed(faster, base)[0]
        place = others.index(best)
        sentence = f"{best.name} is {outcomes[place]}"
        outcomes[place] = CHOSEN
        return Decision(best, sentence, trials, ["slower", *outcomes])
    reasons = [f"{trial.name} is {outcome}" for trial, outcome in zip(others, outcomes, strict=True)]
    sentence = "; ".join([f"{base.name} is kept", *reasons]) if others else f"nothing was faster than {base.name}"
    return Decision(base, sentence, trials, [CHOSEN, *outcomes])


def _verdict(trial: Trial, base: Trial, confidence: float) -> tuple[bool, str]:
    """Whether a trial is shown to be faster, and its outcome as text."""
    ratio, interval = speed_ratio(trial, base, confidence)
    runs = f"{len(trial.seconds)} round{'' if len(trial.seconds) == 1 else 's'}"
    if interval is None:
        return False, f"undecided: there was time for only {runs}"
    measured = f"{ratio:.2f}x (interval {interval.low:.2f} to {interval.high:.2f}, {runs})"
    if interval.low > 1 and ratio >= 1 + MARGIN:
        return True, f"faster than {base.name}: {measured}"
    if interval.low <= 1 and interval.high > 1 + MARGIN:
        return False, f"undecided, because the machine is too noisy for {runs}: {measured}"
    return False, f"not faster by {MARGIN:.0%}: {measured}"


def rows(trials: Sequence[Trial], baseline: Trial, outcomes: Sequence[str] | None, with_loss: bool) -> list[Row]:
    """
    Makes the table of the tried settings, in their order.

    Args:
        trials (`Sequence[Trial]`): tried settings. Those that were not run are omitted.
        baseline ([`Trial`]): setting that speed-ups are relative to.
        outcomes (`Sequence[str]`, *optional*):
            Outcome of each setting. If not set, the table is that of a search, whose leader is not yet shown to be
            faster.
        with_loss (`bool`): whether the table has losses.
    """
    leader = by_speed([trial for trial in trials if trial.seconds and not trial.fate], baseline)[0]
    table = []
    for index, trial in enumerate(trials):
        if not trial.seconds:
            continue
        ratio, interval = speed_ratio(trial, baseline)
        row = {
            "name": trial.name if outcomes is None else f"again: {trial.name}",
            "seconds": trial.cost,
            "runs": len(trial.seconds),
            "speedup": ratio,
            "interval": None if interval is None else list(interval),
        }
        if with_loss:
            row["loss"] = trial.loss
        if outcomes is None:
            row["outcome"] = trial.fate or ("leads" if trial is leader else "slower")
        else:
            row["outcome"] = outcomes[index]
        table.append(row)
    return table


def make_tuning(
    directory: Path,
    args: TuningArguments,
    data: Sequence[str | Path],
    started: float,
    **found: Any,
) -> Tuning:
    """
    Makes the [`Tuning`] to write.

    Args:
        directory (`Path`): directory of the model.
        args ([`TuningArguments`]): arguments of the tuning.
        data (`Sequence[str or Path]`): data of the measurements.
        started (`float`): start of the tuning, by `time.monotonic`.
        found: other fields of the [`Tuning`].
    """
    config = DynExecConfig.from_pretrained(directory)
    return Tuning(
        objective=args.objective,
        max_loss=args.max_loss,
        model_hash=config.model_hash,
        head_hashes=head_hashes(config),
        machine=this_machine(args.device),
        versions={"optimum-dynexec": __version__, **{name: version(name) for name in ("openvino", "optimum-intel")}},
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        data=[str(source) for source in data],
        seconds=round(time.monotonic() - started, 1),
        **found,
    )


def compared(found: Decision, reference: Trial) -> dict[str, Any]:
    """
    Gives the fields of a [`Tuning`] on the last comparison.

    Args:
        found ([`Decision`]): result of the last comparison.
        reference ([`Trial`]): plain execution, with its measurements in the last comparison.
    """
    chosen = found.chosen
    ratio, interval = (1.0, None) if chosen is reference else speed_ratio(chosen, reference)
    return {
        "baseline": _named(reference),
        "best": _named(chosen),
        "speedup": ratio,
        "speedup_interval": None if interval is None else list(interval),
        "rounds": len(chosen.seconds),
        "decision": found.sentence,
    }


def _named(trial: Trial) -> dict[str, Any]:
    return {"name": trial.name, "seconds": trial.cost}
