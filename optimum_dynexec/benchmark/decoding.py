"""A timed request to a decoder."""

import time
from typing import TYPE_CHECKING, Any

import torch

from ..native import _C
from .generation import Generation


if TYPE_CHECKING:
    from ..modeling import DynExecModelForCausalLM
    from ..speculative.stats import GenerationStats


def new_memory(model: "DynExecModelForCausalLM") -> _C.SpeculationMemory:
    """
    Makes a memory for speculation, a `_C.SpeculationMemory`. Each system has its own memory, so that no system gains
    from what another has just learned from the same request.

    Raises:
        `ValueError`: if the model has no engine.
    """
    if model.engine is None:
        raise ValueError(f"{model.model_save_dir} cannot run on the engine, so there is nothing to compare")
    return _C.SpeculationMemory()


def timed_generate(
    model: "DynExecModelForCausalLM",
    memory: _C.SpeculationMemory,
    ids: list[int],
    max_new_tokens: int,
    *,
    forget_texts: bool = True,
    **options: Any,
) -> Generation:
    """
    Answers one prompt, greedily unless told otherwise.

    Args:
        model ([`DynExecModelForCausalLM`]): loaded model with an engine.
        memory (`_C.SpeculationMemory`): memory of speculation, from [`new_memory`].
        ids (`list[int]`): token ids of the prompt.
        max_new_tokens (`int`): maximum number of tokens in the answer.
        forget_texts (`bool`, *optional*, defaults to `True`):
            Whether texts of earlier requests are forgotten before: an answer is then no draft for its repetition.
        options: further arguments of `generate`.
    """
    if forget_texts:
        memory.forget_texts()
    model.speculation_memory = memory
    inputs = torch.tensor([ids])
    start = time.perf_counter()
    output = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=max_new_tokens,
        **{"do_sample": False, **options},
    )
    tokens = output[0, len(ids) :].tolist()
    seconds = time.perf_counter() - start
    stats: GenerationStats = model.last_stats  # type: ignore[assignment]  # the engine has set it
    return Generation(
        tokens=tokens,
        seconds=seconds,
        # The work of the call outside the loop comes before the first token.
        first_token_seconds=seconds - stats.total_seconds + stats.time_to_first_token,
        steps=stats.verifications,
        proposed=stats.proposed,
        accepted=stats.accepted,
        accepted_histogram=list(stats.accepted_histogram),
        exit_histogram=[list(entry) for entry in stats.exit_histogram.items()] or None,
    )
