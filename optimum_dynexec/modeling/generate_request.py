"""From the arguments of `generate` to a job for the engine."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers.generation import GenerationConfig
from transformers.generation.logits_process import LogitsProcessorList

from ..native import _C
from ..runtime import Engine
from ..speculative.config import SpeculationConfig
from ..speculative.proposers.draft_model import DraftModel
from ..utils.versions import given_values
from .assistants import make_assistant
from .generate_call import GenerateCall
from .generation import GenerationJob
from .logits_processors import processors_of_row
from .positions import limited_length
from .stopping import read_stopping


if TYPE_CHECKING:
    from .causal_lm import DynExecModelForCausalLM


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedJob:
    """
    A call that the engine can run.

    Args:
        job ([`~modeling.generation.GenerationJob`]): what to generate.
        engine ([`~runtime.Engine`]): engine to generate on.
        return_dict_in_generate (`bool`): whether the caller wants a dictionary.
    """

    job: GenerationJob
    engine: Engine
    return_dict_in_generate: bool


@dataclass(frozen=True)
class NoJob:
    """
    A call that only the plain model can run.

    Args:
        reason (`str`): why.
        speculates (`bool`): whether the caller asked for speculation.
    """

    reason: str
    speculates: bool


def make_job(
    model: "DynExecModelForCausalLM",
    engine: Engine,
    call: GenerateCall,
    config: GenerationConfig,
    model_kwargs: dict[str, Any],
    speculation: SpeculationConfig,
    early_exit: _C.EarlyExitParams | None,
) -> GenerationJob:
    """
    Reads the arguments of `generate` with transformers' own methods, in the order in which its `generate` calls them.

    Args:
        model ([`DynExecModelForCausalLM`]): model that generates.
        engine ([`~runtime.Engine`]): engine of the model.
        call ([`~modeling.generate_call.GenerateCall`]): arguments of the call.
        config (`GenerationConfig`): configuration that the arguments resolve to. It is modified.
        model_kwargs (`dict[str, Any]`): arguments of the call for `forward`. They are modified.
        speculation ([`~speculative.SpeculationConfig`]): draft sources and number of draft tokens.
        early_exit (`_C.EarlyExitParams`, *optional*): parameters of early exit; only without speculation.

    Raises:
        `ValueError`: if an argument is not accepted.
        `TypeError`: if the assistant model has another type.
    """
    defaults = {
        f"has_default_{name}": call.kwargs.get(name) is None
        and name not in {**given_values(call.generation_config), **given_values(model.generation_config)}
        for name in ("max_length", "min_length")
    }
    model._validate_model_kwargs(model_kwargs.copy())
    input_ids, input_name, model_kwargs = model._prepare_model_inputs(call.inputs, config.bos_token_id, model_kwargs)
    if input_ids.shape[1] == 0:
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
    stopping = read_stopping(criteria, call.stopping_criteria, prompt_length)
    max_length = limited_length(stopping.max_length, prompt_length, model.config)
    assistant = None
    if call.assistant_model is not None and speculation.of_kind(DraftModel):
        assistant = make_assistant(
            call.assistant_model, max_length, engine, model.model_save_dir, call.assistant_tokenizers
        )
    seed = call.seed
    if seed is None:
        seed = int(torch.randint(2**62, (1,))) if config.do_sample else 0
    if call.streamer is not None:
        call.streamer.put(input_ids.cpu())
    repeats = config.num_return_sequences
    input_ids = input_ids.cpu().repeat_interleave(repeats, dim=0)
    callers = LogitsProcessorList([*call.logits_processor, *call.penalties])
    pad = config._pad_token_tensor
    return GenerationJob(
        input_ids=input_ids,
        attention_mask=attention_mask.cpu().repeat_interleave(repeats, dim=0),
        do_sample=bool(config.do_sample),
        max_length=max_length,
        eos_token_ids=stopping.eos_token_ids,
        pad_token_id=None if pad is None else int(pad),
        logits_processors=[
            processors_of_row(model, config, prompt, callers, call.prefix_allowed_tokens_fn, model_kwargs)
            for prompt in input_ids
        ],
        stopping_criteria=stopping.criteria,
        seed=seed,
        speculation=speculation,
        early_exit=early_exit,
        assistant=assistant,
        streamer=call.streamer,
        draft_scope=call.draft_scope,
        cache_salt=call.cache_salt,
    )
