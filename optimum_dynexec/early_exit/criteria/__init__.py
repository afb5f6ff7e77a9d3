"""Criteria: when an input is sure enough to leave. One file each; a new one is one file and one line here."""

from pathlib import Path

from .base import Criterion
from .classifier import ClassifierCriterion
from .entropy import EntropyCriterion
from .learned import LearnedCriterion
from .margin import MarginCriterion
from .max_prob import MaxProbCriterion
from .patience import PatienceCriterion
from .settled import SettledCriterion
from .vote import VoteCriterion


CRITERIA: dict[str, type[Criterion]] = {
    criterion.name: criterion
    for criterion in (
        MaxProbCriterion,
        MarginCriterion,
        EntropyCriterion,
        PatienceCriterion,
        VoteCriterion,
        ClassifierCriterion,
        LearnedCriterion,
        SettledCriterion,
    )
}


def criterion_names() -> list[str]:
    """The names that a configuration may use."""
    return list(CRITERIA)


def criterion_class(name: str) -> type[Criterion]:
    """
    Finds a criterion.

    Raises:
        `ValueError`: if there is none of this name.
    """
    if name not in CRITERIA:
        raise ValueError(f"`criterion` must be one of {criterion_names()}, but it is {name!r}")
    return CRITERIA[name]


def load_criterion(name: str, directory: str | Path | None = None) -> Criterion:
    """
    Makes a criterion ready to use.

    Args:
        name (`str`):
            One of [`criterion_names`].
        directory (`str` or `Path`, *optional*):
            Directory of the model, for a criterion that has learned weights there.

    Raises:
        `ValueError`: if there is no such criterion, or its weights cannot be read.
    """
    return criterion_class(name).load(directory)
