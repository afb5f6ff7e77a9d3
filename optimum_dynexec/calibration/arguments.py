"""Checks of what calibration is asked to do."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..directory.errors import CalibrationError


def check_fields(arguments: Any, *, choices: Mapping[str, Iterable[str]], least: Mapping[str, int]) -> None:
    """
    Checks fields of a dataclass of arguments.

    Args:
        arguments: the dataclass.
        choices (`Mapping[str, Iterable[str]]`): by the name of a field, what it may be.
        least (`Mapping[str, int]`): by the name of a field, the least that it may be; `None` is accepted.

    Raises:
        [`~directory.errors.CalibrationError`]: if a value is not acceptable.
    """
    for name, accepted in choices.items():
        if getattr(arguments, name) not in accepted:
            raise CalibrationError(f"`{name}` must be one of {list(accepted)}, but it is {getattr(arguments, name)!r}")
    for name, smallest in least.items():
        value = getattr(arguments, name)
        if value is not None and value < smallest:
            raise CalibrationError(f"`{name}` must be at least {smallest}, but it is {value!r}")
