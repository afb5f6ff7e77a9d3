"""transformers' arguments that say how to speculate."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from transformers import GenerationConfig

from ..speculative.arguments import SPECULATION_ARGUMENTS


def without_speculation(config: GenerationConfig | None) -> GenerationConfig | None:
    """A copy for transformers' own loops, which speculate where one of the arguments is set."""
    config = deepcopy(config)
    if config is not None:
        for name in SPECULATION_ARGUMENTS:
            setattr(config, name, None)
    return config


@contextmanager
def no_speculation_of_its_own(model: Any) -> Iterator[None]:
    """transformers fills fields that a call leaves open from the configuration of the model: they are unset here."""
    own = model.generation_config
    if all(getattr(own, name, None) is None for name in SPECULATION_ARGUMENTS):
        yield
        return
    model.generation_config = without_speculation(own)
    try:
        yield
    finally:
        model.generation_config = own
