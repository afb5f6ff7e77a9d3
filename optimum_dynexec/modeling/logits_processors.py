"""The logits processors that the decode loop applies itself, and one that transformers does not have."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import torch
from transformers.generation import GenerationConfig, GenerationMixin
from transformers.generation import logits_process as hf

from ..native import _C
from ..utils.numbers import finite_number


class PresenceFrequencyPenaltyLogitsProcessor(hf.LogitsProcessor):
    """
    OpenAI's presence and frequency penalties. As in openvino-genai and vLLM, they apply to generated tokens only.

    Args:
        presence_penalty (`float`): number that is subtracted once from the logit of every generated token.
        frequency_penalty (`float`): number that is subtracted from the logit of a token for each occurrence.
        prompt_length (`int`): number of prompt tokens at the start of `input_ids`.

    Raises:
        `ValueError`: if a penalty is not a finite number.
    """

    def __init__(self, presence_penalty: float, frequency_penalty: float, prompt_length: int):
        self.presence_penalty = finite_number("presence_penalty", presence_penalty)
        self.frequency_penalty = finite_number("frequency_penalty", frequency_penalty)
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        generated = input_ids[:, self.prompt_length :]
        counts = torch.zeros_like(scores).scatter_add_(1, generated, torch.ones_like(generated, dtype=scores.dtype))
        return scores - self.frequency_penalty * counts - self.presence_penalty * (counts > 0)


def _repetition(params: _C.LogitsParams, processor: hf.RepetitionPenaltyLogitsProcessor, _: int) -> bool:
    params.repetition_penalty = processor.penalty
    return processor.prompt_ignore_length is None and processor.logits_indices is None


def _presence_frequency(params: _C.LogitsParams, processor: "PresenceFrequencyPenaltyLogitsProcessor", _: int) -> bool:
    params.presence_penalty = processor.presence_penalty
    params.frequency_penalty = processor.frequency_penalty
    return True


def _min_length(params: _C.LogitsParams, processor: hf.MinLengthLogitsProcessor, prompt_length: int) -> bool:
    params.min_new_tokens = max(params.min_new_tokens, processor.min_length - prompt_length, 0)
    params.eos_token_ids = processor.eos_token_id.tolist()
    return True


def _min_new_tokens(
    params: _C.LogitsParams, processor: hf.MinNewTokensLengthLogitsProcessor, prompt_length: int
) -> bool:
    params.min_new_tokens = max(params.min_new_tokens, processor.min_new_tokens)
    params.eos_token_ids = processor.eos_token_id.tolist()
    return processor.prompt_length_to_skip == prompt_length


def _warper(field: str, attribute: str) -> Callable[[_C.LogitsParams, Any, int], bool]:
    def translate(params: _C.LogitsParams, processor: hf.LogitsProcessor, _: int) -> bool:
        setattr(params, field, getattr(processor, attribute))
        return getattr(processor, "filter_value", -inf) == -inf and getattr(processor, "min_tokens_to_keep", 1) == 1

    return translate


# The processors in transformers' order. The decode loop (csrc/kernels/logits_processors.h) applies the penalties
# first. The result is the same, because a token that a minimum length excludes stays excluded. Each function sets
# the parameters of its processor and returns whether they cover the configuration of the processor.
NATIVE: dict[type, Callable[[_C.LogitsParams, Any, int], bool]] = {
    hf.RepetitionPenaltyLogitsProcessor: _repetition,
    hf.MinLengthLogitsProcessor: _min_length,
    hf.MinNewTokensLengthLogitsProcessor: _min_new_tokens,
    PresenceFrequencyPenaltyLogitsProcessor: _presence_frequency,
    hf.TemperatureLogitsWarper: _warper("temperature", "temperature"),
    hf.TopKLogitsWarper: _warper("top_k", "top_k"),
    hf.TopPLogitsWarper: _warper("top_p", "top_p"),
    hf.MinPLogitsWarper: _warper("min_p", "min_p"),
}


def processors_of_row(
    model: GenerationMixin,
    config: GenerationConfig,
    prompt: torch.Tensor,
    callers: hf.LogitsProcessorList,
    prefix_allowed_tokens_fn: Callable[[int, torch.Tensor], list[int]] | None,
    model_kwargs: dict[str, Any],
) -> hf.LogitsProcessorList:
    """
    Makes the logits processors of one row of a batch. transformers makes one list for the whole batch, but here each
    row is at its own step. A processor that remembers its prompt or its earlier calls (encoder penalties, SynthID's
    watermark) must therefore belong to one row only.

    Args:
        model (`GenerationMixin`): model whose methods read the configuration.
        config (`GenerationConfig`): configuration of the call.
        prompt (`torch.LongTensor` of shape `(prompt_length,)`): prompt of the row, with its padding.
        callers (`LogitsProcessorList`): processors that the caller passed, shared by all rows.
        prefix_allowed_tokens_fn (`Callable`, *optional*): function of transformers that gives the allowed tokens.
        model_kwargs (`dict[str, Any]`): arguments of the call for `forward`.
    """
    return model._get_logits_processor(
        generation_config=config,
        input_ids_seq_length=len(prompt),
        encoder_input_ids=prompt[None],
        prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
        logits_processor=callers,
        device=str(prompt.device),
        model_kwargs=model_kwargs,
    )


def native_params(
    processors: Sequence[hf.LogitsProcessor], do_sample: bool, prompt_length: int
) -> _C.LogitsParams | None:
    """
    Translates a list of logits processors for the decode loop.

    Args:
        processors (`Sequence[LogitsProcessor]`): processors that `generate` would apply, in order.
        do_sample (`bool`): whether tokens are sampled.
        prompt_length (`int`): length of `input_ids`, padding included.

    Returns:
        `LogitsParams` or `None`: `None` if the decode loop does not cover a processor or their order; then all
        processors have to be called one after the other.
    """
    order = list(NATIVE)
    params = _C.LogitsParams()
    params.do_sample = do_sample
    last = -1
    for processor in processors:
        # A subclass may do anything. In greedy decoding, transformers applies a warper, but the loop does not.
        rank = order.index(type(processor)) if type(processor) in NATIVE else -1
        is_warper = rank >= order.index(hf.TemperatureLogitsWarper)
        if rank <= last or (is_warper and not do_sample):
            return None
        if not NATIVE[type(processor)](params, processor, prompt_length):
            return None
        last = rank
    return params
