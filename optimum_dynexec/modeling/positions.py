"""The maximum length of a model's sequences."""

import logging

from transformers import PretrainedConfig

from ..utils.versions import rope_parameters


logger = logging.getLogger(__name__)


def limited_length(max_length: int, prompt_length: int, model_config: PretrainedConfig) -> int:
    """Limits `max_length` to the number of positions of a model with learned position embeddings."""
    limit = position_limit(model_config)
    if limit is None or max_length <= limit:
        return max_length
    if prompt_length >= limit:
        raise ValueError(f"The prompt has {prompt_length} tokens, the model has positions for {limit} in all")
    logger.warning(f"The model has positions for {limit} tokens: generation ends there, not at {max_length}.")
    return limit


def position_limit(config: PretrainedConfig) -> int | None:
    """The number of positions of a model with learned position embeddings; `None` for rotary and ALiBi models."""
    if rope_parameters(config) or getattr(config, "alibi", False):
        return None
    return getattr(config, "max_position_embeddings", None)
