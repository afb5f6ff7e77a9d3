"""Requests as the extension takes them."""

from typing import Any

from optimum_dynexec.native import _C


def request(prompt: list[int], new_tokens: int = 4, **fields: Any) -> _C.SequenceRequest:
    """A request for one sequence. `fields`: others of its attributes."""
    made = _C.SequenceRequest()
    made.prompt, made.max_new_tokens = prompt, new_tokens
    for name, value in fields.items():
        setattr(made, name, value)
    return made
