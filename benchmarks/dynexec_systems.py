"""optimum-dynexec under test."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.runtime import _C
from optimum_dynexec.runtime.engine import MAX_BATCH_TOKENS

from .systems import Generation, Setting, System


class DynExecSystem(System):
    """
    `DynExecModelForCausalLM` with one kind of speculation.

    Args:
        name (`str`): its name in the tables.
        speculation (`str`): as in `generate`.
        assistant (`bool`): whether the draft model is given.
        draft_head (`bool`): whether it is about the model's draft head.
        arguments (*optional*): further arguments of `generate`.
    """

    reference = "dynexec-plain"

    def __init__(
        self, name: str, speculation: str, assistant: bool = False, draft_head: bool = False, **arguments: Any
    ):
        super().__init__(name)
        self.speculation = speculation
        self.needs_draft = assistant
        self.needs_draft_head = draft_head
        self.arguments = arguments

    def load(self, setting: Setting, shared: dict[Any, Any]) -> None:
        self.model = _load(setting.model, setting, shared)
        if self.needs_draft:
            self.arguments["assistant_model"] = _load(setting.draft, setting, shared)
        # A loop keeps what it learned about acceptance. With one of its own, no system profits from what another has
        # just seen of the same question.
        self.loop = _C.DecodeLoop(self.model.engine.paged_model, MAX_BATCH_TOKENS)
        self.eos_token_ids = setting.eos_token_ids

    def generate(self, ids: list[int], max_new_tokens: int, **sampling: Any) -> Generation:
        self.model.engine.loop = self.loop
        inputs = torch.tensor([ids])
        start = time.perf_counter()
        output = self.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=max_new_tokens,
            eos_token_id=self.eos_token_ids,
            pad_token_id=self.eos_token_ids[0],
            speculation=self.speculation,
            **{"do_sample": False, **self.arguments, **sampling},
        )
        tokens = output[0, len(ids) :].tolist()
        seconds = time.perf_counter() - start
        stats = self.model.last_stats
        return Generation(
            tokens=tokens,
            seconds=seconds,
            # What the call does outside the loop it does before the first token.
            first_token_seconds=seconds - stats.total_seconds + stats.time_to_first_token,
            steps=stats.verifications,
            proposed=stats.proposed,
            accepted=stats.accepted,
        )


def _load(directory: Any, setting: Setting, shared: dict[Any, Any]) -> Any:
    key = ("dynexec", directory)
    if key not in shared:
        shared[key] = DynExecModelForCausalLM.from_pretrained(directory, precision=setting.precision)
        if shared[key].engine is None:
            raise ValueError(f"{directory} cannot run on the engine; there is nothing to compare")
    return shared[key]


AUTO = {"num_assistant_tokens_schedule": "auto"}
K3 = {
    "num_assistant_tokens": 3,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.0,
}
DYNEXEC_SYSTEMS: dict[str, Callable[[str], System]] = {
    "dynexec-plain": partial(DynExecSystem, speculation="off"),
    "dynexec-lookup": partial(DynExecSystem, speculation="prompt_lookup", **AUTO),
    "dynexec-draft": partial(DynExecSystem, speculation="draft_model", assistant=True, **AUTO),
    "dynexec-draft-k3": partial(DynExecSystem, speculation="draft_model", assistant=True, **K3),
    "dynexec-head": partial(DynExecSystem, speculation="draft_head", draft_head=True),
    "dynexec-head-k4": partial(DynExecSystem, speculation="draft_head", draft_head=True, num_assistant_tokens=4),
    "dynexec-auto": partial(DynExecSystem, speculation="auto"),
    "dynexec-auto+draft": partial(DynExecSystem, speculation="auto", assistant=True),
}
