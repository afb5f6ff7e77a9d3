"""Checks that the values of a dataclass have the types that its fields declare."""

import types
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin


# These types accept the numbers of numpy too.
NUMBERS = {int: Integral, float: Real}


def check_field_types(instance: Any) -> None:
    """
    Checks the fields of a dataclass that was made from the content of a file. The values in lists, tuples and objects
    are checked too, as deeply as the field declares them.

    Args:
        instance: instance of a dataclass whose annotations are types, not strings.

    Raises:
        `ValueError`: if a value does not have the type of its field; the message names both.
    """
    for entry in fields(instance):
        value = getattr(instance, entry.name)
        if not _is_of(value, entry.type):
            name = entry.type.__name__ if isinstance(entry.type, type) else entry.type
            raise ValueError(f"`{entry.name}` must be of type {name}, but it is {value!r}")


def _is_of(value: object, declared: Any) -> bool:
    origin, inner = get_origin(declared), get_args(declared)
    if declared is Any:
        return True
    if origin in (types.UnionType, Union):
        return any(_is_of(value, one) for one in inner)
    if origin is None:
        # A whole number is accepted as a float, but a bool is not accepted as a number.
        return isinstance(value, NUMBERS.get(declared, declared)) and (declared is bool or not isinstance(value, bool))
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return isinstance(value, tuple | list) and all(_is_of(one, inner[0]) for one in value)
    if not isinstance(value, origin):
        return False
    if issubclass(origin, Mapping):
        return all(_is_of(key, inner[0]) and _is_of(one, inner[1]) for key, one in value.items())
    return all(_is_of(one, inner[0]) for one in value)
