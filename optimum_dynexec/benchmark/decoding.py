"""One request to a decoder, timed."""

import time
from typing import Any

import torch

from ..native import _C
from ..runtime.engine import MAX_BATCH_TOKENS
from .generation import Generation


def new_loop(model: Any) -> Any:
    """
    A decode loop for a model's engine, `_C.DecodeLoop`. A loop keeps what it learned about acceptance: with one of its
    own, no system profits from what another has just seen of the same request.

    Raises:
        `ValueError`: if the model has no engine.
    """
    if model.engine is None:
        raise ValueError(f"{model.model_save_dir} cannot run on the engine; there is nothing to compare")
    return _C.DecodeLoop(model.engine.paged_model, MAX_BATCH_TOKENS)


def timed_generate(model: Any, loop: Any, ids: list[int], max_new_tokens: int, **options: Any) -> Generation:
    """
    Answers one prompt, greedily unless told otherwise.

    Args:
        model ([`DynExecModelForCausalLM`]): loaded, with an engine.
        loop (`_C.DecodeLoop`): of [`new_loop`], to run on.
        ids (`list[int]`): tokens of the prompt.
        max_new_tokens (`int`): at most.
        options: further arguments of `generate`.
    """
    model.engine.loop = loop
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
    stats = model.last_stats
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
