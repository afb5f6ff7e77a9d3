"""Criteria that decide when an input leaves. A new criterion is one file and one line here."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .base import Criterion


# The class of each criterion, which stands in the file of the criterion's name. Files load when a class is asked for,
# so that the command line can list the names without numpy.
_CLASSES = {
    "max_prob": "MaxProbCriterion",
    "margin": "MarginCriterion",
    "entropy": "EntropyCriterion",
    "patience": "PatienceCriterion",
    "vote": "VoteCriterion",
    "classifier": "ClassifierCriterion",
    "learned": "LearnedCriterion",
    "settled": "SettledCriterion",
}


class _Criteria(Mapping[str, "type[Criterion]"]):
    def __getitem__(self, name: str) -> "type[Criterion]":
        return getattr(import_module(f".{name}", __name__), _CLASSES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


CRITERIA: Mapping[str, "type[Criterion]"] = _Criteria()

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {"base": ["Criterion"]},
    extra=["CRITERIA", "criterion_class", "criterion_files", "criterion_names", "load_criterion"],
)


def criterion_names() -> list[str]:
    """The names of the criteria."""
    return list(CRITERIA)


def criterion_files() -> list[str]:
    """The names of the files with weights of criteria that have learned some."""
    return [criterion.file_name for criterion in CRITERIA.values() if criterion.file_name is not None]


def criterion_class(name: str) -> "type[Criterion]":
    """
    Finds a criterion.

    Raises:
        `ValueError`: if no criterion has this name.
    """
    if name not in _CLASSES:
        raise ValueError(f"`criterion` must be one of {criterion_names()}, but it is {name!r}")
    return CRITERIA[name]


def load_criterion(name: str, directory: str | Path | None = None) -> "Criterion":
    """
    Makes a criterion.

    Args:
        name (`str`):
            Name of the criterion, one of [`criterion_names`].
        directory (`str` or `Path`, *optional*):
            Directory of the model, for a criterion that keeps learned weights there.

    Raises:
        `ValueError`: if no criterion has this name, or its weights cannot be read.
    """
    return criterion_class(name).load(directory)
