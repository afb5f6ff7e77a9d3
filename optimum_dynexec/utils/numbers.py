"""Reads numbers that callers give. Python's and numpy's numbers are accepted."""

import math
from numbers import Integral, Real
from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number of Python or numpy. A `bool` is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number of Python or numpy. A `bool` is not."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def whole_number(name: str, value: object, low: int, high: int | None = None) -> int:
    """
    Reads a whole number.

    Args:
        name (`str`): name of the argument, for the message.
        value: value that the caller gave.
        low (`int`): smallest accepted value.
        high (`int`, *optional*): largest accepted value.

    Raises:
        `ValueError`: if the value is not a whole number from `low` to `high`.
    """
    if not is_whole(value) or value < low or (high is not None and value > high):
        bounds = f"from {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"`{name}` must be a whole number {bounds}, got {value!r}")
    return int(value)


def finite_number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """
    Reads a finite number.

    Args:
        name (`str`): name of the argument, for the message.
        value: value that the caller gave.
        low, high (`float`, *optional*): smallest and largest accepted value.

    Raises:
        `ValueError`: if the value is not a finite number from `low` to `high`.
    """
    if not is_finite(value) or not low <= value <= high:
        bounds = "" if low == -math.inf and high == math.inf else f" from {low:g} to {high:g}"
        bounds = f" of at least {low:g}" if low != -math.inf and high == math.inf else bounds
        raise ValueError(f"`{name}` must be a finite number{bounds}, got {value!r}")
    return float(value)
