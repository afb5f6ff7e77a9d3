"""Finds thresholds with a guarantee from records."""

from dataclasses import dataclass

import numpy as np

from ..directory.calibration import Calibration
from ..directory.hashes import hash_content
from ..early_exit.criteria import Criterion, criterion_class
from .arguments import CalibrationArguments
from .candidates import CANDIDATES, NEED_TUNING
from .errors import NoThresholdError
from .methods import METHODS
from .policy import PolicyOutcome, accuracies, run_policy
from .records import ExitRecords
from .risks import find_risk, losses_of, risk_interval


@dataclass(frozen=True)
class Calibrated:
    """
    Result of [`calibrate`].

    Args:
        calibration ([`Calibration`]): thresholds and their evidence.
        criterion ([`~early_exit.Criterion`]): criterion, with its learned weights if it has any.
    """

    calibration: Calibration
    criterion: Criterion


def calibrate(records: ExitRecords, args: CalibrationArguments | None = None, *, seed: int = 0) -> Calibrated:
    """
    Finds the thresholds with the earliest exits for which the risk is at most epsilon, with confidence 1 - delta.

    The risk is the mean over texts of the mean loss over a text's tokens, because texts are drawn independently.
    The guarantee depends on the number of texts, not on the number of tokens.

    Args:
        records ([`~calibration.ExitRecords`]):
            Records of texts from the same distribution as later ones. Heads must not have been trained on them.
        args ([`CalibrationArguments`], *optional*): limit of the risk and method of the calibration.
        seed (`int`, *optional*, defaults to 0):
            random seed of the split into tuning and test, and of the order of the test.

    Raises:
        [`~calibration.NoThresholdError`]: if no threshold can be guaranteed. The message says how many texts are
            needed.
    """
    args = args or CalibrationArguments()
    risk_name, risk_function = find_risk(args.risk)
    kind, method = criterion_class(args.criterion), METHODS[args.method]
    data_hash = records.data_hash

    # In random order, because files are often sorted and one of the tests depends on the order.
    records = records.select(np.random.default_rng(seed).permutation(records.num_groups))
    tuning = None
    if kind.file_name is not None or args.candidates in NEED_TUNING:
        tuning, records = records.split(args.tuning_share, seed)
    losses = losses_of(risk_function, records.predictions, records.labels)
    if tuning is None:
        ready = kind.load(None)
        thresholds = CANDIDATES[args.candidates](ready, records, losses)
    else:
        tuning_losses = losses_of(risk_function, tuning.predictions, tuning.labels)
        ready = kind.fit(tuning.layers, tuning.statistics, 1.0 - tuning_losses[:, :-1])
        thresholds = CANDIDATES[args.candidates](ready, tuning, tuning_losses)

    outcome = run_policy(records, ready, thresholds, losses)
    choice = method.choose(outcome.losses, args.epsilon, args.delta)
    if choice.index is None or not outcome.shares[choice.index, :-1].any():
        raise _no_threshold(outcome, args)
    index, content = choice.index, ready.content()
    return Calibrated(
        Calibration(
            criterion=args.criterion,
            thresholds={
                layer: float(threshold)
                for layer, threshold in zip(records.layers, thresholds[index], strict=True)
                if np.isfinite(threshold)
            },
            risk=risk_name,
            epsilon=float(args.epsilon),
            delta=float(args.delta) if method.uses_delta else None,
            method=args.method,
            candidates=args.candidates,
            num_texts=records.num_groups,
            num_samples=records.num_samples,
            num_tuning_texts=0 if tuning is None else tuning.num_groups,
            measured_risk=float(outcome.losses[index].mean()),
            risk_interval=risk_interval(outcome.losses[index]),
            p_value=choice.p_value,
            upper_bound=choice.upper_bound,
            mean_layers=float(outcome.mean_layers[index]),
            num_layers=records.num_layers,
            exit_shares={
                layer: float(share)
                for layer, share in zip([*records.layers, records.num_layers - 1], outcome.shares[index], strict=True)
            },
            data_hash=data_hash,
            model_hash=records.model_hash,
            head_hashes=dict(records.head_hashes),
            criterion_hash=None if content is None else hash_content(content),
            source=dict(records.source),
            **accuracies(records, ready, thresholds[index]),
        ),
        ready,
    )


def _no_threshold(outcome: PolicyOutcome, args: CalibrationArguments) -> NoThresholdError:
    """An error with the number of texts that the most careful thresholds at which any input leaves would need."""
    useful = np.flatnonzero(outcome.shares[:, :-1].any(axis=1))
    if not len(useful):
        return NoThresholdError(
            f"no input is confident enough to leave by the criterion {args.criterion!r}, whatever the threshold"
        )
    measured, count = float(outcome.losses[useful[0]].mean()), outcome.losses.shape[1]
    risk, _ = find_risk(args.risk)
    aim = f"epsilon = {args.epsilon:g} for {risk!r}"
    start = f"no threshold of {args.criterion!r} meets {aim} with {count} texts"
    needed = METHODS[args.method].needed(measured, args.epsilon, args.delta)
    if needed is None:
        return NoThresholdError(
            f"{start}: even the most careful threshold at which any input leaves has a measured risk of"
            f" {measured:.3g}. More"
            " texts will not help: use another criterion, better heads or a larger epsilon"
        )
    if needed <= count:
        # The estimate is not exact, and earlier thresholds may have failed by chance.
        needed = count + 1
    return NoThresholdError(
        f"{start}: the most careful threshold at which any input leaves has a measured risk of {measured:.3g}, which"
        " needs"
        f" about n={needed} texts",
        needed,
    )
