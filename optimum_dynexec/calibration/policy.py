"""The result of leaving at the first exit whose score passes its threshold."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..early_exit.criteria import Criterion
from .records import ExitRecords


@dataclass(frozen=True)
class PolicyOutcome:
    """
    The results of `candidates` sets of thresholds.

    Args:
        losses (`np.ndarray` float64 `[candidates, groups]`): mean loss of each text.
        shares (`np.ndarray` float64 `[candidates, exits + 1]`):
            shares of all samples that left at each exit; the last column is the full model. If the samples of a text
            leave together, shares of all texts.
        mean_layers (`np.ndarray` float64 `[candidates]`): mean number of layers that were run per sample or text.
    """

    losses: np.ndarray
    shares: np.ndarray
    mean_layers: np.ndarray


def run_policy(
    records: ExitRecords, criterion: Criterion, thresholds: np.ndarray, losses: np.ndarray
) -> PolicyOutcome:
    """
    Each sample leaves at the first exit whose score passes. The full model answers for the rest.

    Args:
        records ([`~calibration.ExitRecords`]): records of the exits and the full model.
        criterion ([`~early_exit.Criterion`]): criterion that computes the scores.
        thresholds (`np.ndarray` float64 `[candidates, exits]`):
            Thresholds from the most careful to the most daring at each exit; with [`~early_exit.Criterion.never`],
            nothing leaves.
        losses (`np.ndarray` float64 `[samples, exits + 1]`):
            losses of leaving at each exit; the last column is the full model.

    Raises:
        `ValueError`: if a threshold is more careful than the one before it.
    """
    scores = records.scores(criterion)
    candidates, exits = thresholds.shape
    shares_of = np.repeat(1.0 / records.group_sizes, records.group_sizes) if records.together else np.ones(len(scores))
    groups = np.repeat(np.arange(records.num_groups), records.group_sizes)
    # If a candidate lets a sample leave at an exit, all later candidates do too. So the exit of a sample changes at
    # most once per exit as candidates get more daring, and the sums need the changes only.
    cells, weights = [], []
    counts = np.zeros((exits + 1, candidates + 1))
    end = np.full(records.num_samples, candidates)
    for index in range(exits + 1):
        last = index == exits
        start = np.zeros_like(end) if last else first_passing(criterion, scores[:, index], thresholds[:, index])
        start = np.minimum(start, end)
        # From candidate `start` up to `end`, where an earlier exit takes over, the sample leaves here.
        for at, sign in ((start, 1.0), (end, -1.0)):
            cells.append(groups * (candidates + 1) + at)
            weights.append(sign * losses[:, index])
            counts[index] += sign * np.bincount(at, shares_of, candidates + 1)
        end = start
    size = records.num_groups * (candidates + 1)
    changes = np.bincount(np.concatenate(cells), np.concatenate(weights), size)
    sums = np.cumsum(changes.reshape(records.num_groups, candidates + 1), axis=1)[:, :-1]
    shares = np.cumsum(counts, axis=1)[:, :-1].T / shares_of.sum()
    depth = np.array([*records.layers, records.num_layers - 1]) + 1
    # Rounding may leave a sum a little outside.
    return PolicyOutcome(np.clip(sums / records.group_sizes[:, None], 0.0, 1.0).T, shares, shares @ depth)


def accuracies(records: ExitRecords, criterion: Criterion, thresholds: np.ndarray) -> dict[str, Any]:
    """
    How often the full model is right, and the one that leaves.

    Args:
        records ([`~calibration.ExitRecords`]): of what the exits and the full model say.
        criterion ([`~early_exit.Criterion`]): gives the scores.
        thresholds (`np.ndarray` float64 `[exits]`): by which samples leave.

    Returns:
        `dict[str, float]`: `full_accuracy` and `accuracy`, means over texts, and if each text has one label,
            `most_frequent`, the share of the most frequent one; empty without labels.
    """
    if records.labels is None:
        return {}
    wrong = (records.predictions != records.labels[:, None]).astype(np.float64)
    leaving = run_policy(records, criterion, thresholds[None], wrong)
    full = records.group_means(wrong[:, -1])
    found = {"full_accuracy": 1.0 - float(full.mean()), "accuracy": 1.0 - float(leaving.losses[0].mean())}
    if (records.group_sizes == 1).all():
        found["most_frequent"] = float(np.unique(records.labels, return_counts=True)[1].max() / records.num_samples)
    return found


def first_passing(criterion: Criterion, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """
    Args:
        criterion ([`~early_exit.Criterion`]): criterion of the scores and thresholds.
        scores (`np.ndarray` float `[samples]`): scores at one exit.
        thresholds (`np.ndarray` float64 `[candidates]`): thresholds from the most careful to the most daring.

    Returns:
        `np.ndarray` int64 `[samples]`: index of the first threshold that the score passes; `candidates` if none.

    Raises:
        `ValueError`: if a threshold is more careful than the one before it.
    """
    sign = -1.0 if criterion.higher_is_surer else 1.0
    rising = sign * thresholds
    if (rising[1:] < rising[:-1]).any():
        raise ValueError("thresholds must go from the most careful to the most daring")
    # NaN is sorted after everything.
    return np.searchsorted(rising, sign * np.asarray(scores, np.float64), side="left")
