"""Finds thresholds with a guarantee from records."""

from dataclasses import dataclass

import numpy as np

from ..directory.calibration import Calibration
from ..directory.hashes import hash_content
from ..early_exit.criteria import Criterion, criterion_class
from .arguments import CalibrationArguments
from .candidates import CANDIDATES
from .methods import METHODS
from .needed_texts import check_count, no_threshold
from .policy import accuracies, run_policy
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
    check_count(records.num_groups, args, records.unit)

    # In random order, because files are often sorted and one of the tests depends on the order.
    records = records.select(np.random.default_rng(seed).permutation(records.num_groups))
    tuning = None
    if args.uses_tuning:
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
        raise no_threshold(outcome, args, records.unit)
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
            unit=records.unit,
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
