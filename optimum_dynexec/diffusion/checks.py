"""Checks of configuration values, with messages that say what is accepted."""

import math

from ..utils.numbers import is_finite, is_whole


def check_number(name: str, value: object, low: float, high: float = math.inf) -> None:
    """
    Checks a number.

    Raises:
        `ValueError`: if the value is not a finite number from `low` to `high`.
    """
    if not is_finite(value) or not low <= value <= high:
        bounds = f"at least {low}" if high == math.inf else f"from {low} to {high}"
        raise ValueError(f"`{name}` must be a number {bounds}, but it is {value!r}")


def check_whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """
    Checks a whole number.

    Raises:
        `ValueError`: if the value is not a whole number from `low` to `high`.
    """
    if not is_whole(value) or value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"`{name}` must be a whole number {bounds}, but it is {value!r}")
