"""Replaces a method of one object for a time."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(target: object, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """
    Replaces a method of an object while the context is open.

    Args:
        target (`Any`): object whose method to replace. Other objects of its class are not affected.
        name (`str`): name of the method.
        replacement (`Callable`): function that is called with the original method and its arguments.
            `inspect.signature`, which pipelines use, still gives the signature of the original method.
    """
    original = getattr(target, name)
    own = vars(target).get(name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    # Not with the object's own __setattr__, which may record what is set. The class does not change.
    vars(target)[name] = wrapper
    try:
        yield
    finally:
        if own is None:
            vars(target).pop(name, None)
        else:
            vars(target)[name] = own
