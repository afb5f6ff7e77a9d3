"""Thresholds for a budget: they limit the mean cost of a sample, without a guarantee for a risk."""

import numpy as np

from ..directory.calibration import Calibration
from ..directory.errors import CalibrationError
from ..directory.hashes import hash_content
from ..early_exit.criteria import Criterion, criterion_class
from ..utils.numbers import is_finite
from .main import Calibrated
from .policy import accuracies, run_policy
from .records import ExitRecords
from .risks import RISKS, losses_of, risk_interval


# Bisection steps of the search for the ratio of neighbouring exits' shares.
STEPS = 60
LARGEST_LOG_RATIO = 12.0


def calibrate_budget(
    records: ExitRecords,
    costs: np.ndarray,
    budget: float,
    *,
    criterion: str = "max_prob",
    tuning_share: float = 0.3,
    seed: int = 0,
) -> Calibrated:
    """
    Finds thresholds with which samples like these cost a given share of the full model's operations on average: the
    budgeted batch classification of MSDNet (Huang et al. 2018, arXiv 1703.09844, section 4.2).

    Samples are distributed to the exits geometrically: exit k gets a share proportional to r^k, beginning with the
    most confident samples. r is the largest ratio for which the mean cost is within the budget.

    Args:
        records ([`~calibration.ExitRecords`]):
            records of samples from the same distribution as later ones, one in each text.
        costs (`np.ndarray` float64 `[exits + 1]`):
            costs of leaving at each exit and of the full model, as shares of the full model's.
        budget (`float`): mean cost, between those of the cheapest exit and of the full model.
        criterion (`str`, *optional*, defaults to `"max_prob"`): criterion, one of [`~early_exit.criterion_names`].
        tuning_share (`float`, *optional*, defaults to 0.3): of the samples, how many teach the criterion if it learns.
        seed (`int`, *optional*, defaults to 0): random seed of that split.

    Raises:
        [`~directory.errors.CalibrationError`]: if no thresholds of this criterion stay within the budget.
    """
    if not is_finite(budget) or not costs[0] < budget < costs[-1]:
        raise CalibrationError(
            f"`budget_flops` must be between {costs[0]:.3f}, what the first exit costs, and {costs[-1]:.3f}, what"
            f" going through all of them costs, but it is {budget!r}"
        )
    kind, data_hash, tuning = criterion_class(criterion), records.data_hash, None
    risk = RISKS["disagreement"]
    if kind.file_name is not None:
        tuning, records = records.split(tuning_share, seed)
        right = 1.0 - losses_of(risk, tuning.predictions, tuning.labels)[:, :-1]
        ready = kind.fit(tuning.layers, tuning.statistics, right)
    else:
        ready = kind.load(None)
    losses = losses_of(risk, records.predictions, records.labels)
    low, high, found = -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO, None
    for _ in range(STEPS):
        middle = (low + high) / 2
        thresholds = geometric_thresholds(ready, records, middle)
        outcome = run_policy(records, ready, thresholds[None], losses)
        cost = float(outcome.shares[0] @ costs)
        if cost <= budget:
            low, found = middle, (thresholds, outcome, cost)
        else:
            high = middle
    if found is None:
        raise CalibrationError(
            f"no thresholds of {criterion!r} have a mean cost of at most {budget:g} of the full model's: too many"
            " samples are never sure enough by it"
        )
    thresholds, outcome, cost = found
    content = ready.content()
    return Calibrated(
        Calibration(
            criterion=criterion,
            thresholds={
                layer: float(threshold)
                for layer, threshold in zip(records.layers, thresholds, strict=True)
                if np.isfinite(threshold)
            },
            risk="disagreement",
            epsilon=None,
            delta=None,
            method="budget",
            candidates="geometric",
            num_texts=records.num_groups,
            unit=records.unit,
            num_samples=records.num_samples,
            num_tuning_texts=0 if tuning is None else tuning.num_groups,
            measured_risk=float(outcome.losses[0].mean()),
            risk_interval=risk_interval(outcome.losses[0]),
            p_value=None,
            upper_bound=None,
            mean_layers=float(outcome.mean_layers[0]),
            num_layers=records.num_layers,
            exit_shares={
                layer: float(share)
                for layer, share in zip([*records.layers, records.num_layers - 1], outcome.shares[0], strict=True)
            },
            data_hash=data_hash,
            model_hash=records.model_hash,
            head_hashes=dict(records.head_hashes),
            criterion_hash=None if content is None else hash_content(content),
            source=dict(records.source),
            budget_flops=float(budget),
            mean_flops=cost,
            **accuracies(records, ready, thresholds),
        ),
        ready,
    )


def geometric_thresholds(criterion: Criterion, records: ExitRecords, log_ratio: float) -> np.ndarray:
    """
    Thresholds that distribute samples geometrically.

    Args:
        criterion ([`~early_exit.Criterion`]): criterion that computes the scores.
        records ([`~calibration.ExitRecords`]): records of the samples.
        log_ratio (`float`): logarithm of the ratio of an exit's share to that of the previous exit.

    Returns:
        `np.ndarray` float64 `[exits]`; [`~early_exit.Criterion.never`] where no acceptable threshold lets any leave.
    """
    exits = len(records.layers)
    shares = np.exp(log_ratio * np.arange(exits + 1) - abs(log_ratio) * exits)
    counts = np.cumsum(shares / shares.sum()) * records.num_samples
    scores = records.scores(criterion)
    waiting = np.ones(records.num_samples, bool)
    thresholds = np.full(exits, criterion.never())
    for index in range(exits):
        leaving = round(counts[index]) - int((~waiting).sum())
        values = scores[waiting, index].astype(np.float64)
        values = values[np.isfinite(values)]
        if leaving <= 0 or not len(values):
            continue
        order = np.sort(-values if criterion.higher_is_surer else values)
        chosen = order[min(leaving, len(order)) - 1]
        chosen = -chosen if criterion.higher_is_surer else chosen
        if not criterion.accepts(chosen):
            continue
        thresholds[index] = chosen
        waiting &= ~criterion.passes(scores[:, index], thresholds[index])
    return thresholds
