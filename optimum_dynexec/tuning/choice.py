"""What of the measurements is chosen, and written."""

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..directory.config import DynExecConfig
from ..directory.tuning import Tuning, head_hashes, this_machine
from ..version import __version__
from .arguments import TuningArguments
from .halving import Trial


# The defaults stay unless something is faster by more than measurements vary.
MARGIN = 0.02
CHOSEN = "chosen"


def choose(finished: Sequence[Trial], default: Trial) -> Trial:
    """
    The fastest, or the default if it is about as fast.

    Args:
        finished (`Sequence[Trial]`): fastest first.
        default ([`Trial`]): what would run without tuning; it may have been given up.
    """
    best = finished[0]
    if default in finished and default.cost <= best.cost * (1 + MARGIN):
        return default
    return best


def rows(trials: Sequence[Trial], baseline: Trial, best: Trial, with_loss: bool) -> list[dict[str, Any]]:
    """The table of what was tried, in its order."""
    table = []
    for trial in trials:
        if not trial.seconds:
            continue
        row = {"name": trial.name, "seconds": trial.cost, "runs": len(trial.seconds)}
        shared = len(trial.seconds)
        # Against the baseline on the same inputs.
        plain = sum(baseline.seconds[:shared]) / max(sum(baseline.units[:shared]), 1)
        row["speedup"] = plain / trial.cost
        if with_loss:
            row["loss"] = trial.loss
        slower = "slower" if trial.cost >= best.cost else f"less than {MARGIN:.0%} faster"
        row["outcome"] = CHOSEN if trial is best else trial.fate or slower
        table.append(row)
    return table


def take_back(table: Sequence[dict[str, Any]]) -> None:
    """Says of what a table has as chosen that it was not faster when it was measured beside the baseline again."""
    for row in table:
        if row["outcome"] == CHOSEN:
            row["outcome"] = "not faster, measured again"


def make_tuning(
    directory: Path,
    args: TuningArguments,
    data: Sequence[str | Path],
    started: float,
    **found: Any,
) -> Tuning:
    """
    Puts together what is written.

    Args:
        directory (`Path`): of the model.
        args ([`TuningArguments`]): of the tuning.
        data (`Sequence[str or Path]`): that was measured on.
        started (`float`): on `time.monotonic`.
        found: the other fields of a [`Tuning`].
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


def named(trial: Trial) -> dict[str, Any]:
    """Name and cost, as a [`Tuning`] has them."""
    return {"name": trial.name, "seconds": trial.cost}
