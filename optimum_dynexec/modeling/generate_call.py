"""The arguments of one call of `generate`, and whether the engine can run the call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from optimum.intel import OVModelForCausalLM
from transformers import PretrainedConfig
from transformers.generation import GenerationConfig
from transformers.generation.logits_process import LogitsProcessorList
from transformers.generation.stopping_criteria import MaxLengthCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from ..early_exit.config import EarlyExitConfig
from ..speculative.arguments import SPECULATION_ARGUMENTS, SpeculationArguments
from ..utils.numbers import whole_number
from ..utils.versions import rope_parameters
from .assistants import Tokenizers
from .early_exit import CALIBRATED, check_early_exit
from .logits_processors import PresenceFrequencyPenaltyLogitsProcessor


MAX_SEED = 2**64 - 1
EXCLUSIVE = "`early_exit` and speculation exclude each other: leave out the arguments of one of them"
# Arguments of `generate` that are not part of a GenerationConfig.
CALL_ARGUMENTS = ("tokenizer", "assistant_tokenizer", "custom_generate", "trust_remote_code", "use_model_defaults")
# Arguments of `generate` that are no part of the configuration, and their defaults.
CALL_DEFAULTS: dict[str, Any] = {
    "logits_processor": None,
    "stopping_criteria": None,
    "prefix_allowed_tokens_fn": None,
    "streamer": None,
    "negative_prompt_ids": None,
    "negative_prompt_attention_mask": None,
    "assistant_model": None,
    "speculation": None,
    "early_exit": None,
    "seed": None,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "draft_scope": "",
    "cache_salt": "",
}
# The number of tokens that transformers generates if the call sets no length.
DEFAULT_NEW_TOKENS = 20


@dataclass(frozen=True)
class GenerateCall:
    """
    The arguments of one call of `generate`.

    Args:
        inputs (`torch.LongTensor` of shape `(batch_size, prompt_length)`, *optional*): prompts given by position.
        generation_config (`GenerationConfig`, *optional*): configuration as the caller passed it.
        logits_processor (`LogitsProcessorList`): processors that the caller passed.
        stopping_criteria (`StoppingCriteriaList`): criteria that the caller passed.
        prefix_allowed_tokens_fn (`Callable`, *optional*): function of transformers that gives the allowed tokens.
        streamer (`BaseStreamer`, *optional*): object that receives the tokens as they are generated.
        negative_prompt_ids, negative_prompt_attention_mask (`torch.Tensor`, *optional*):
            Negative prompt for classifier-free guidance.
        assistant_model (`OVModelForCausalLM`, *optional*): model that drafts.
        assistant_tokenizers ([`~modeling.assistants.Tokenizers`], *optional*): if they differ.
        speculation ([`~speculative.arguments.SpeculationArguments`]): arguments of speculation.
        early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*): early exit; it excludes speculation.
        seed (`int`, *optional*): seed of the random numbers.
        penalties (`LogitsProcessorList`): presence and frequency penalty, applied after the caller's processors.
        draft_scope (`str`): scope of the texts that drafts may come from.
        cache_salt (`str`): calls with the same salt may share their first KV blocks.
        kwargs (`dict[str, Any]`): all other arguments, for transformers and `forward`.
    """

    inputs: torch.Tensor | None
    generation_config: GenerationConfig | None
    logits_processor: LogitsProcessorList
    stopping_criteria: StoppingCriteriaList
    prefix_allowed_tokens_fn: Callable[[int, torch.Tensor], list[int]] | None
    streamer: BaseStreamer | None
    negative_prompt_ids: torch.Tensor | None
    negative_prompt_attention_mask: torch.Tensor | None
    assistant_model: OVModelForCausalLM | None
    assistant_tokenizers: Tokenizers | None
    speculation: SpeculationArguments
    early_exit: EarlyExitConfig | str | None
    seed: int | None
    penalties: LogitsProcessorList
    draft_scope: str
    cache_salt: str
    kwargs: dict[str, Any]

    @classmethod
    def read(
        cls,
        *,
        defaults: GenerationConfig,
        inputs: torch.Tensor | None,
        generation_config: GenerationConfig | None,
        logits_processor: LogitsProcessorList | None,
        stopping_criteria: StoppingCriteriaList | None,
        assistant_model: OVModelForCausalLM | None,
        speculation: str | None,
        early_exit: EarlyExitConfig | str | None,
        seed: int | None,
        presence_penalty: float,
        frequency_penalty: float,
        draft_scope: str,
        cache_salt: str,
        kwargs: dict[str, Any],
        **others: Any,
    ) -> "GenerateCall":
        """
        Reads the arguments as `generate` takes them.

        Args:
            defaults (`GenerationConfig`): configuration of the model.
            others: fields that are stored as they are.

        Raises:
            `ValueError`, `TypeError`: see `generate`.
        """
        check_token_ids(inputs, kwargs.get("input_ids"))
        check_early_exit(early_exit, CALIBRATED)
        for name, value in (("draft_scope", draft_scope), ("cache_salt", cache_salt)):
            if not isinstance(value, str):
                raise TypeError(f"`{name}` must be a string, got {value!r}")
        tokenizers = None
        if kwargs.get("assistant_tokenizer") is not None:
            if assistant_model is None or kwargs.get("tokenizer") is None:
                raise ValueError(
                    "`assistant_tokenizer` is for an `assistant_model` with another tokenizer than the model: give"
                    " `assistant_model` and the model's `tokenizer` too"
                )
            tokenizers = Tokenizers(kwargs["tokenizer"], kwargs["assistant_tokenizer"])
        asked = SpeculationArguments.read(
            speculation, assistant_model is not None, kwargs, generation_config, defaults
        )
        if early_exit is not None and asked.asked and asked.speculation != "off":
            raise ValueError(EXCLUSIVE)
        prompt = inputs if inputs is not None else kwargs.get("input_ids")
        penalties = LogitsProcessorList()
        if presence_penalty != 0.0 or frequency_penalty != 0.0:
            length = 1 if prompt is None else prompt.shape[1]
            penalties.append(PresenceFrequencyPenaltyLogitsProcessor(presence_penalty, frequency_penalty, length))
        return cls(
            inputs=inputs,
            generation_config=generation_config,
            logits_processor=LogitsProcessorList(logits_processor or []),
            stopping_criteria=StoppingCriteriaList(stopping_criteria or []),
            assistant_model=assistant_model,
            assistant_tokenizers=tokenizers,
            speculation=asked,
            early_exit=early_exit,
            seed=None if seed is None else whole_number("seed", seed, 0, MAX_SEED),
            penalties=penalties,
            draft_scope=draft_scope,
            cache_salt=cache_salt,
            kwargs={name: value for name, value in kwargs.items() if name not in SPECULATION_ARGUMENTS},
            **others,
        )

    @property
    def for_config(self) -> dict[str, Any]:
        """The arguments that a GenerationConfig or `forward` takes."""
        return {name: value for name, value in self.kwargs.items() if name not in CALL_ARGUMENTS}


def check_token_ids(inputs: object, input_ids: object) -> None:
    """
    Checks that prompts came as tensors.

    Args:
        inputs, input_ids: arguments of `generate`.

    Raises:
        `TypeError`: if one of them is neither a tensor nor `None`.
        `ValueError`: if one of them does not have two dimensions.
    """
    for name, value in (("inputs", inputs), ("input_ids", input_ids)):
        if value is not None and not isinstance(value, torch.Tensor):
            raise TypeError(
                f"`{name}` must be a torch.Tensor of token ids with the shape (batch_size, length), got"
                f" {type(value).__name__}: have the tokenizer make one,"
                ' `model.generate(**tokenizer(text, return_tensors="pt"))`'
            )
        if value is not None and value.ndim != 2:
            raise ValueError(f"`{name}` must have the shape (batch_size, length), got {tuple(value.shape)}")


def why_plain(
    call: GenerateCall, config: GenerationConfig, model_kwargs: Mapping[str, Any], model_config: PretrainedConfig
) -> str | None:
    """
    Gives the reason why the engine cannot run a call.

    Args:
        call ([`GenerateCall`]): arguments of the call.
        config (`GenerationConfig`): configuration that the arguments resolve to.
        model_kwargs (`Mapping[str, Any]`): arguments of the call for `forward`.
        model_config (`PretrainedConfig`): configuration of the model.

    Returns:
        `str`, *optional*: the reason; `None` if the engine can run the call.
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
    Whether a text of `max_length` tokens may need both sets of factors of a longrope model. Such a model has short
    factors for its original context and long factors beyond it. A forward pass uses one set for all of its rows: rows
    before the border must not share a pass with rows after it, and Phi-3 computes the whole text again when it crosses
    the border.
    """
    rope = rope_parameters(model_config)
    original = rope.get("original_max_position_embeddings") or getattr(
        model_config, "original_max_position_embeddings", None
    )
    # The last token is never an input.
    return rope.get("rope_type") == "longrope" and original is not None and max_length - 1 > original


def longest_length(criteria: StoppingCriteriaList, config: GenerationConfig, prompt_length: int) -> int:
    """
    The maximum number of tokens in a finished sequence, prompt and padding included.

    Args:
        criteria (`StoppingCriteriaList`): criteria that the caller passed.
        config (`GenerationConfig`): configuration that the call resolves to.
        prompt_length (`int`): length of `input_ids`.
    """
    limits = [criterion.max_length for criterion in criteria if type(criterion) is MaxLengthCriteria]
    if limits:
        return max(min(limits), prompt_length + 1)
    if config.max_new_tokens is not None:
        return prompt_length + config.max_new_tokens
    return max(config.max_length or 0, prompt_length + DEFAULT_NEW_TOKENS)
