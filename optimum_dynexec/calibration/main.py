"""From records to thresholds with a guarantee."""

from dataclasses import dataclass

import numpy as np

from ..directory.calibration import Calibration
from ..directory.errors import CalibrationError
from ..directory.hashes import hash_content
from ..early_exit.criteria import Criterion, criterion_class
from ..utils.numbers import is_finite
from .candidates import CANDIDATES, NEED_TUNING
from .errors import NoThresholdError
from .methods import METHODS, Method
from .policy import PolicyOutcome, run_policy
from .records import ExitRecords
from .risks import Risk, find_risk, losses_of, risk_interval


@dataclass(frozen=True)
class Calibrated:
    """
    What [`calibrate`] gives.

    Args:
        calibration ([`Calibration`]): the thresholds and what is known of them.
        criterion ([`~early_exit.Criterion`]): ready to use, with its learned weights if it has any.
    """

    calibration: Calibration
    criterion: Criterion


def calibrate(
    records: ExitRecords,
    *,
    risk: str | Risk = "token_disagreement",
    epsilon: float = 0.05,
    delta: float = 0.05,
    criterion: str = "max_prob",
    method: str = "hoeffding_bentkus",
    candidates: str = "shared",
    tuning_share: float = 0.3,
    seed: int = 0,
) -> Calibrated:
    """
    Finds the thresholds that leave earliest while the risk is at most epsilon, with confidence 1 - delta.

    The risk is the mean over texts of the mean loss over a text's tokens, as texts are what is drawn independently;
    the number of texts is what the guarantee rests on, not the number of tokens.

    Args:
        records ([`~calibration.ExitRecords`]):
            Of texts drawn as those to come will be. Heads must not have been trained on them.
        risk (`str` or `Callable`, *optional*, defaults to `"token_disagreement"`):
            See [`~calibration.risks.find_risk`].
        epsilon (`float`, *optional*, defaults to 0.05): the risk allowed.
        delta (`float`, *optional*, defaults to 0.05): the probability that it is more.
        criterion (`str`, *optional*, defaults to `"max_prob"`): one of [`~early_exit.criterion_names`].
        method (`str`, *optional*, defaults to `"hoeffding_bentkus"`):
            `"hoeffding_bentkus"`, `"wsr"` or `"binomial"`: Learn then Test with this p-value. `"conformal"`: conformal
            risk control, which bounds the expected risk and has no delta.
        candidates (`str`, *optional*, defaults to `"shared"`):
            `"shared"`: one threshold for all exits; `"per_exit"`: one for each, along a line drawn with tuning data.
        tuning_share (`float`, *optional*, defaults to 0.3):
            Of the texts, how many teach the criterion or draw the line, if one of them needs that. They are not
            tested on.
        seed (`int`, *optional*, defaults to 0): of the partition into tuning and test, and the order of the test.

    Raises:
        [`~calibration.NoThresholdError`]: if no threshold holds the guarantee; the message says how many texts would.
        [`~directory.errors.CalibrationError`]: for an argument that is not acceptable.
    """
    risk_name, risk_function = check_arguments(risk, epsilon, delta, criterion, method, candidates, tuning_share)
    kind = criterion_class(criterion)
    data_hash = records.data_hash

    # In an order of its own, as files often come sorted and one of the tests goes by the order.
    records = records.select(np.random.default_rng(seed).permutation(records.num_groups))
    tuning = None
    if kind.file_name is not None or candidates in NEED_TUNING:
        tuning, records = records.split(tuning_share, seed)
    losses = losses_of(risk_function, records.predictions, records.labels)
    if tuning is None:
        ready = kind.load(None)
        thresholds = CANDIDATES[candidates](ready, records, losses)
    else:
        tuning_losses = losses_of(risk_function, tuning.predictions, tuning.labels)
        ready = kind.fit(tuning.layers, tuning.statistics, 1.0 - tuning_losses[:, :-1])
        thresholds = CANDIDATES[candidates](ready, tuning, tuning_losses)

    outcome = run_policy(records, ready, thresholds, losses)
    choice = METHODS[method].choose(outcome.losses, epsilon, delta)
    if choice.index is None or not outcome.shares[choice.index, :-1].any():
        raise _no_threshold(outcome, METHODS[method], epsilon, delta, risk_name, criterion)
    index, content = choice.index, ready.content()
    return Calibrated(
        Calibration(
            criterion=criterion,
            thresholds={
                layer: float(threshold)
                for layer, threshold in zip(records.layers, thresholds[index], strict=True)
                if np.isfinite(threshold)
            },
            risk=risk_name,
            epsilon=float(epsilon),
            delta=float(delta) if METHODS[method].uses_delta else None,
            method=method,
            candidates=candidates,
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
        ),
        ready,
    )


def check_arguments(
    risk: str | Risk, epsilon: float, delta: float, criterion: str, method: str, candidates: str, tuning_share: float
) -> tuple[str, Risk]:
    """
    Checks arguments of [`calibrate`], before hours go into the making of records.

    Returns:
        `tuple`: name of the risk, and the risk.

    Raises:
        `ValueError`: for an argument that is not acceptable; the message names it, its value and what is accepted.
    """
    for name, value in (("epsilon", epsilon), ("delta", delta), ("tuning_share", tuning_share)):
        if not is_finite(value) or not 0.0 < value < 1.0:
            raise CalibrationError(f"`{name}` must be between 0 and 1, but it is {value!r}")
    for name, given, accepted in (("method", method, list(METHODS)), ("candidates", candidates, list(CANDIDATES))):
        if given not in accepted:
            raise CalibrationError(f"`{name}` must be one of {accepted}, but it is {given!r}")
    criterion_class(criterion)
    return find_risk(risk)


def _no_threshold(
    outcome: PolicyOutcome, method: Method, epsilon: float, delta: float, risk: str, criterion: str
) -> NoThresholdError:
    """Says what the most careful thresholds that let anything leave would take."""
    useful = np.flatnonzero(outcome.shares[:, :-1].any(axis=1))
    if not len(useful):
        return NoThresholdError(f"no input is sure enough by {criterion!r} to leave at any threshold")
    measured, count = float(outcome.losses[useful[0]].mean()), outcome.losses.shape[1]
    start = f"no threshold of {criterion!r} meets epsilon = {epsilon:g} for {risk!r} with the {count} texts there are"
    needed = method.needed(measured, epsilon, delta)
    if needed is None:
        return NoThresholdError(
            f"{start}: even the most careful that lets anything leave has a measured risk of {measured:.3g}. More"
            " texts will not help; another criterion, better heads or a larger epsilon will"
        )
    if needed <= count:
        # The estimate is not exact, and the thresholds before it may have failed by chance.
        needed = count + 1
    return NoThresholdError(
        f"{start}: the most careful that lets anything leave has a measured risk of {measured:.3g}, for which it takes"
        f" about n={needed} texts",
        needed,
    )
