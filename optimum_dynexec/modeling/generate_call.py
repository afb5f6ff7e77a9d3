"""One call of `generate` as it came, and whether the engine can take it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.generation import GenerationConfig
from transformers.generation.logits_process import LogitsProcessorList
from transformers.generation.stopping_criteria import MaxLengthCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer


# What transformers generates if no length is asked for.
DEFAULT_NEW_TOKENS = 20


@dataclass
class GenerateCall:
    """The arguments of one `generate` that the engine and the plain path need."""

    inputs: torch.Tensor | None
    generation_config: GenerationConfig | None
    logits_processor: LogitsProcessorList
    stopping_criteria: StoppingCriteriaList
    prefix_allowed_tokens_fn: Callable[[int, torch.Tensor], list[int]] | None
    streamer: BaseStreamer | None
    negative_prompt_ids: torch.Tensor | None
    negative_prompt_attention_mask: torch.Tensor | None
    kwargs: dict[str, Any]


def why_plain(
    call: GenerateCall, config: GenerationConfig, model_kwargs: Mapping[str, Any], model_config: PretrainedConfig
) -> str | None:
    """
    Why the engine cannot take a call.

    Args:
        call ([`GenerateCall`]): as it came.
        config (`GenerationConfig`): that it resolves to.
        model_kwargs (`Mapping[str, Any]`): its other arguments, for `forward`.
        model_config (`PretrainedConfig`): of the model.

    Returns:
        `str`, *optional*: the reason; `None` if the engine can.
    """
    inputs = call.inputs if call.inputs is not None else model_kwargs.get("input_ids")
    rows = (1 if inputs is None else inputs.shape[0]) * config.num_return_sequences
    longest = longest_length(call.stopping_criteria, config, 1 if inputs is None else inputs.shape[1])
    whole_batch = bool(
        call.logits_processor or call.stopping_criteria or call.prefix_allowed_tokens_fn or call.streamer
    )
    reasons = {
        "beam search has no draft to verify": (config.num_beams or 1) > 1,
        "contrastive search is not covered": bool(config.penalty_alpha) and (config.top_k or 0) > 1,
        "constrained decoding is not covered": bool(config.constraints or config.force_words_ids),
        "DoLa is not covered": config.dola_layers is not None,
        "classifier-free guidance is not covered": config.guidance_scale not in (None, 1)
        or call.negative_prompt_ids is not None,
        "token healing is not covered": bool(config.token_healing),
        "custom generate functions are not covered": call.kwargs.get("custom_generate") is not None,
        "scores, logits, attentions and hidden states are kept by the plain model only": bool(
            config.output_scores or config.output_logits or config.output_attentions or config.output_hidden_states
        ),
        "processors, criteria and streamers written for whole batches need one row per step": whole_batch and rows > 1,
        "`past_key_values`, `inputs_embeds` and `position_ids` are the plain model's": any(
            model_kwargs.get(name) is not None for name in ("past_key_values", "inputs_embeds", "position_ids")
        ),
        "beyond its original context, longrope computes the whole text with other factors": crosses_rope_border(
            longest, model_config
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def crosses_rope_border(max_length: int, model_config: PretrainedConfig) -> bool:
    """
    Whether a text of so many tokens may need both kinds of factors of a longrope model. It has short ones for its
    original context and long ones beyond, and a pass takes one kind for all of its rows: rows before the border must
    not share a pass with rows after it, and Phi-3 computes the whole text anew where it is crossed.
    """
    rope = getattr(model_config, "rope_parameters", None) or {}
    original = rope.get("original_max_position_embeddings") or getattr(
        model_config, "original_max_position_embeddings", None
    )
    # The last token is never an input.
    return rope.get("rope_type") == "longrope" and original is not None and max_length - 1 > original


def longest_length(criteria: StoppingCriteriaList, config: GenerationConfig, prompt_length: int) -> int:
    """
    The most tokens that a sequence may have in the end, prompt and padding included.

    Args:
        criteria (`StoppingCriteriaList`): of the caller.
        config (`GenerationConfig`): that the call resolves to.
        prompt_length (`int`): length of `input_ids`.
    """
    limits = [criterion.max_length for criterion in criteria if type(criterion) is MaxLengthCriteria]
    if limits:
        return max(min(limits), prompt_length + 1)
    if config.max_new_tokens is not None:
        return prompt_length + config.max_new_tokens
    return max(config.max_length or 0, prompt_length + DEFAULT_NEW_TOKENS)
