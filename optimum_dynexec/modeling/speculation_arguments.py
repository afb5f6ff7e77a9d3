"""transformers' arguments that say how to speculate."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from transformers import GenerationConfig


SPECULATION_ARGUMENTS = (
    "prompt_lookup_num_tokens",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
    "assistant_early_exit",
)


def given_arguments(kwargs: Mapping[str, Any], *configs: GenerationConfig | None) -> dict[str, Any]:
    """
    The arguments as the user set them, without transformers' defaults; `None`: not set.

    Args:
        kwargs (`Mapping[str, Any]`): of the call, which come first.
        configs (`GenerationConfig`, *optional*): that count where the ones before say nothing.
    """
    sources = [kwargs, *(vars(config) for config in configs if config is not None)]
    found = {name: [source.get(name) for source in sources] for name in SPECULATION_ARGUMENTS}
    return {name: next((value for value in values if value is not None), None) for name, values in found.items()}


def without_speculation(config: GenerationConfig | None) -> GenerationConfig | None:
    """A copy for transformers' own loops, which speculate where one of the arguments is set."""
    config = deepcopy(config)
    if config is not None:
        for name in SPECULATION_ARGUMENTS:
            setattr(config, name, None)
    return config
