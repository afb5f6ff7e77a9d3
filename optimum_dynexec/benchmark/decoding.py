"""One request to a decoder, timed."""

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
    A memory for what speculation learns, `_C.SpeculationMemory`. With one of its own, no system profits from what
    another has just seen of the same request.

    Raises:
        `ValueError`: if the model has no engine.
    """
    if model.engine is None:
        raise ValueError(f"{model.model_save_dir} cannot run on the engine; there is nothing to compare")
    return _C.SpeculationMemory()


def timed_generate(
    model: "DynExecModelForCausalLM", memory: _C.SpeculationMemory, ids: list[int], max_new_tokens: int, **options: Any
) -> Generation:
    """
    Answers one prompt, greedily unless told otherwise.

    Args:
        model ([`DynExecModelForCausalLM`]): loaded, with an engine.
        memory (`_C.SpeculationMemory`): of [`new_memory`], what speculation has learned.
        ids (`list[int]`): tokens of the prompt.
        max_new_tokens (`int`): at most.
        options: further arguments of `generate`.
    """
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
        # What the call does outside the loop it does before the first token.
        first_token_seconds=seconds - stats.total_seconds + stats.time_to_first_token,
        steps=stats.verifications,
        proposed=stats.proposed,
        accepted=stats.accepted,
        accepted_histogram=list(stats.accepted_histogram),
        exit_histogram=[list(entry) for entry in stats.exit_histogram.items()] or None,
    )
