"""Methods of one object that something else is called in the place of, for a time."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(target: Any, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """
    Has an object's method call something else.

    Args:
        target (`Any`): the object. Others of its class stay as they are.
        name (`str`): of the method.
        replacement (`Callable`): called with the original method and its arguments. `inspect.signature` still gives
            the original's, which pipelines read.
    """
    original = getattr(target, name)
    own = vars(target).get(name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    # Past the object's own __setattr__, which may keep records of what is set. The class is left alone.
    vars(target)[name] = wrapper
    try:
        yield
    finally:
        if own is None:
            vars(target).pop(name, None)
        else:
            vars(target)[name] = own
