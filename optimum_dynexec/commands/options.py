"""Types of arguments on the command line."""

import json
from argparse import ArgumentTypeError
from typing import Any


def parse_object(text: str) -> dict[str, Any]:
    """Reads a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"{text!r} is not a JSON object such as '{{\"threshold\": 0.9}}'")
    return value


def parse_named(text: str) -> tuple[str, str]:
    """Reads `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ArgumentTypeError(f"{text!r} has no name: write NAME={value or text}, with a name of your choice")
    return name, value


def parse_named_object(text: str) -> tuple[str, dict[str, Any]]:
    """Reads `NAME=JSON`."""
    name, value = parse_named(text)
    return name, parse_object(value)


def unique(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Named values as a dictionary.

    Raises:
        `ValueError`: if a name is given twice.
    """
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError(f"several {what} have the same name, but each needs its own: {[name for name, _ in pairs]}")
    return named
