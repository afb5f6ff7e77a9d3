"""From the arguments of `generate` to what the engine is asked for."""

import logging
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.generation import GenerationConfig
from transformers.generation.logits_process import LogitsProcessorList

from .generate_call import GenerateCall
from .generation import GenerationJob
from .logits_processors import processors_of_row
from .stopping import read_stopping


logger = logging.getLogger(__name__)


def make_job(
    model: Any,
    call: GenerateCall,
    config: GenerationConfig,
    model_kwargs: dict[str, Any],
    penalties: LogitsProcessorList,
) -> GenerationJob:
    """
    Reads the arguments with transformers' own methods, in the order of its `generate`.

    Args:
        model ([`DynExecModelForCausalLM`]): whose methods they are.
        call ([`~modeling.generate_call.GenerateCall`]): as it came.
        config (`GenerationConfig`): that it resolves to; changed.
        model_kwargs (`dict[str, Any]`): its other arguments, for `forward`; changed.
        penalties (`LogitsProcessorList`): to be added to the processors of the call.

    Raises:
        `ValueError`: for arguments that are not accepted.
    """
    defaults = {
        f"has_default_{name}": call.kwargs.get(name) is None
        and getattr(call.generation_config, name, None) is None
        and getattr(model.generation_config, name, None) is None
        for name in ("max_length", "min_length")
    }
    model._validate_model_kwargs(model_kwargs.copy())
    input_ids, input_name, model_kwargs = model._prepare_model_inputs(call.inputs, config.bos_token_id, model_kwargs)
    if input_ids.ndim != 2 or input_ids.shape[1] == 0:
        raise ValueError(
            f"`input_ids` must have the shape (batch_size, length) with at least one token, got"
            f" {tuple(input_ids.shape)}"
        )
    if input_ids.is_floating_point() or input_ids.is_complex() or input_ids.dtype == torch.bool:
        raise ValueError(f"`input_ids` must hold whole numbers, got {input_ids.dtype}")
    has_mask = model_kwargs.get("attention_mask") is not None
    model._prepare_special_tokens(config, has_mask, device=input_ids.device)
    if not has_mask:
        model_kwargs["attention_mask"] = model._prepare_attention_mask_for_generation(input_ids, config, model_kwargs)
    attention_mask = model_kwargs["attention_mask"]
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"`attention_mask` must have the shape of `input_ids`, {tuple(input_ids.shape)}, got"
            f" {tuple(attention_mask.shape)}"
        )
    if input_ids.shape[0] > 1 and bool((attention_mask[:, -1] == 0).any()):
        logger.warning("Right padding was detected: set `padding_side='left'` on the tokenizer.")
    prompt_length = input_ids.shape[1]
    config = model._prepare_generated_length(
        generation_config=config,
        model_input_name=input_name,
        input_ids_length=prompt_length,
        inputs_tensor=input_ids,
        **defaults,
    )
    model._validate_generated_length(config, prompt_length, defaults["has_default_max_length"])
    criteria = model._get_stopping_criteria(
        generation_config=config,
        stopping_criteria=call.stopping_criteria,
        tokenizer=call.kwargs.get("tokenizer"),
    )
    if call.streamer is not None:
        call.streamer.put(input_ids.cpu())
    repeats = config.num_return_sequences
    input_ids = input_ids.cpu().repeat_interleave(repeats, dim=0)
    callers = LogitsProcessorList([*call.logits_processor, *penalties])
    stopping = read_stopping(criteria, call.stopping_criteria, prompt_length)
    pad = config._pad_token_tensor
    return GenerationJob(
        input_ids=input_ids,
        attention_mask=attention_mask.cpu().repeat_interleave(repeats, dim=0),
        do_sample=bool(config.do_sample),
        max_length=_limited_length(stopping.max_length, prompt_length, model.config),
        eos_token_ids=stopping.eos_token_ids,
        pad_token_id=None if pad is None else int(pad),
        logits_processors=[
            processors_of_row(model, config, prompt, callers, call.prefix_allowed_tokens_fn, model_kwargs)
            for prompt in input_ids
        ],
        stopping_criteria=stopping.criteria,
        streamer=call.streamer,
    )


def _limited_length(max_length: int, prompt_length: int, model_config: PretrainedConfig) -> int:
    """Keeps models with learned position embeddings within their table; there is nothing to look up behind it."""
    limit = position_limit(model_config)
    if limit is None or max_length <= limit:
        return max_length
    if prompt_length >= limit:
        raise ValueError(f"The prompt has {prompt_length} tokens, the model has positions for {limit} in all")
    logger.warning(f"The model has positions for {limit} tokens: generation ends there, not at {max_length}.")
    return limit


def position_limit(config: PretrainedConfig) -> int | None:
    """Positions that a model with learned position embeddings has; `None` for rotary and ALiBi models."""
    if getattr(config, "rope_parameters", None) or getattr(config, "alibi", False):
        return None
    return getattr(config, "max_position_embeddings", None)
