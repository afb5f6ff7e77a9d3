"""transformers' arguments that say how to speculate."""

from copy import deepcopy

from transformers import GenerationConfig

from ..speculative.arguments import TRANSFORMERS_ARGUMENTS


def without_speculation(config: GenerationConfig | None) -> GenerationConfig | None:
    """A copy for transformers' own loops, which speculate where one of the arguments is set."""
    config = deepcopy(config)
    if config is not None:
        for name in TRANSFORMERS_ARGUMENTS:
            setattr(config, name, None)
    return config
