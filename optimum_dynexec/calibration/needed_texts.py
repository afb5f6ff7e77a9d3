"""The number of texts or samples that a guarantee needs, and the errors if there are too few."""

import math

import numpy as np

from ..utils.intervals import interval_text
from .arguments import CalibrationArguments
from .errors import NoThresholdError
from .methods import METHODS
from .policy import PolicyOutcome
from .records import tuning_count
from .risks import find_risk, risk_interval


def check_count(count: int, args: CalibrationArguments, unit: str = "texts", left_out: int = 0) -> None:
    """
    Checks whether so many texts could show epsilon if there were no errors. It needs no model, so it runs before one.

    Args:
        count (`int`): number of texts, including those for tuning.
        args ([`CalibrationArguments`]): limit of the risk and method of the calibration.
        unit (`str`, *optional*, defaults to `"texts"`): what is counted, for the message.
        left_out (`int`, *optional*, defaults to 0): number of further texts that `max_samples` leaves out.

    Raises:
        [`~calibration.NoThresholdError`]: if they could not. The message says how many are needed.
    """
    least = METHODS[args.method].needed(0.0, args.epsilon, args.delta)
    tested = count - tuning_count(count, args.tuning_share) if args.uses_tuning else count
    if least is not None and tested >= least:
        return
    needed = None if least is None else _with_tuning(least, args)
    there = f"1 {unit.removesuffix('s')}" if count == 1 else f"{count} {unit}"
    tuning = f", {args.tuning_share:.0%} of which choose what is tested" if args.uses_tuning else ""
    more = f". `max_samples` (--max-samples) leaves out {left_out} more" if left_out else ""
    raise NoThresholdError(
        f"With {there}, epsilon {args.epsilon:g} cannot be shown even without an error: that needs"
        f" {'more than 10 million' if needed is None else needed}{tuning}{more}",
        needed,
    )


def no_threshold(outcome: PolicyOutcome, args: CalibrationArguments, unit: str) -> NoThresholdError:
    """An error about the most careful thresholds at which any input leaves: what they lack, or how many texts."""
    useful = np.flatnonzero(outcome.shares[:, :-1].any(axis=1))
    if not len(useful):
        return NoThresholdError(
            f"no input is confident enough to leave by the criterion {args.criterion!r}, whatever the threshold"
        )
    losses = outcome.losses[useful[0]]
    measured, count, interval = float(losses.mean()), len(losses), risk_interval(losses)
    risk, _ = find_risk(args.risk)
    start = (
        f"no threshold of {args.criterion!r} meets epsilon = {args.epsilon:g} for {risk!r} with {count} {unit}: even"
        f" the most careful threshold at which any input leaves has a measured risk of {measured:.2%}"
        f" ({interval_text(interval)})"
    )
    if interval is not None and interval[0] > args.epsilon:
        return NoThresholdError(
            f"{start}. More {unit} will not help: use another criterion, better heads or a larger epsilon"
        )
    needed = METHODS[args.method].needed(measured, args.epsilon, args.delta)
    if needed is None:
        return NoThresholdError(
            f"{start}, which does not show whether epsilon can be met: use more {unit}, another criterion, better"
            " heads or a larger epsilon"
        )
    # The estimate is not exact, and earlier thresholds may have failed by chance.
    needed = _with_tuning(max(needed, count + 1), args)
    return NoThresholdError(f"{start}, which needs about n={needed} {unit}", needed)


def _with_tuning(tested: int, args: CalibrationArguments) -> int:
    """The number of all texts, so that so many can be tested."""
    return math.ceil(tested / (1.0 - args.tuning_share)) if args.uses_tuning else tested
