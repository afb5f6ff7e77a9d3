"""Candidates: sets of thresholds, ordered from the most careful to the most daring."""

from collections.abc import Callable

import numpy as np

from ..early_exit.criteria import Criterion
from .policy import first_passing
from .records import ExitRecords


# Error rates of the candidates of `per_exit`.
RATES = np.geomspace(1e-4, 1.0, 1000)

# (criterion, tuning records, their losses [samples, exits + 1]) -> thresholds float64 [candidates, exits]
Candidates = Callable[[Criterion, ExitRecords, np.ndarray], np.ndarray]


def shared(criterion: Criterion, records: ExitRecords, losses: np.ndarray) -> np.ndarray:
    """The same threshold at all exits, along the criterion's own grid. It needs no data."""
    exits = len(records.layers)
    return np.repeat(criterion.grid(exits)[:, None], exits, axis=1)


def per_exit(criterion: Criterion, records: ExitRecords, losses: np.ndarray) -> np.ndarray:
    """
    A separate threshold for each exit: in each candidate, each exit lets as many samples leave as its own error
    rate allows. The thresholds come from tuning data, so the test must use other data.
    """
    grid = criterion.grid(len(records.layers))
    scores = records.scores(criterion)
    weights = np.repeat(1.0 / records.group_sizes, records.group_sizes)  # each text has the same weight
    columns = []
    for index in range(len(records.layers)):
        start = first_passing(criterion, scores[:, index], grid)
        errors = np.maximum(losses[:, index] - losses[:, -1], 0.0)
        leaving = np.cumsum(np.bincount(start, weights, len(grid) + 1))[:-1]
        wrong = np.cumsum(np.bincount(start, weights * errors, len(grid) + 1))[:-1]
        rates = np.divide(wrong, leaving, out=np.zeros_like(wrong), where=leaving > 0)
        within = rates[None, :] <= RATES[:, None]
        last = len(grid) - 1 - within[:, ::-1].argmax(axis=1)
        columns.append(np.where(within.any(axis=1), grid[last], criterion.never()))
    return np.stack(columns, axis=1)


CANDIDATES: dict[str, Candidates] = {"shared": shared, "per_exit": per_exit}
# Candidates that need tuning data, which the test then cannot use.
NEED_TUNING = {"per_exit"}
