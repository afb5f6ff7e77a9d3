"""optimum-dynexec under test."""

from collections.abc import Callable
from functools import partial
from typing import Any

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.decoding import new_memory, timed_generate
from optimum_dynexec.benchmark.generation import Generation
from optimum_dynexec.directory.config import DynExecConfig

from .systems import Setting, System


class DynExecSystem(System):
    """
    `DynExecModelForCausalLM` with one kind of speculation.

    Args:
        name (`str`): name in the tables.
        speculation (`str`): argument `speculation` of `generate`.
        assistant (`bool`): whether the system uses the draft model.
        head (`str`, *optional*): name of the head that it uses.
        arguments (*optional*): further arguments of `generate`.
    """

    reference = "dynexec-plain"

    def __init__(
        self, name: str, speculation: str, assistant: bool = False, head: str | None = None, **arguments: Any
    ):
        super().__init__(name)
        self.speculation = speculation
        self.needs_draft = assistant
        self.needs_head = head
        self.arguments = arguments

    def load(self, setting: Setting, shared: dict[Any, Any]) -> None:
        # A model that is cut at its exit layers counts as another model, because cutting costs a little time.
        self.model = _load(setting.model, setting, shared, cut="assistant_early_exit" in self.arguments)
        if self.needs_draft:
            # It only proposes, so its arithmetic changes no token.
            self.arguments["assistant_model"] = _load(
                setting.draft, setting, shared, precision="fast", draft_vocabulary=setting.draft_vocabulary
            )
        self.memory = new_memory(self.model)
        self.eos_token_ids = setting.eos_token_ids

    def generate(self, ids: list[int], max_new_tokens: int, **sampling: Any) -> Generation:
        return timed_generate(
            self.model,
            self.memory,
            ids,
            max_new_tokens,
            eos_token_id=self.eos_token_ids,
            pad_token_id=self.eos_token_ids[0],
            speculation=self.speculation,
            **{**self.arguments, **sampling},
        )


def _load(directory: Any, setting: Setting, shared: dict[Any, Any], cut: bool = False, **options: Any) -> Any:
    key = ("dynexec", directory, cut, *options.values())
    if key not in shared:
        options = {"precision": setting.precision, **options}
        if cut:
            options["exit_layers"] = DynExecConfig.from_pretrained(directory).exit_layers
        shared[key] = DynExecModelForCausalLM.from_pretrained(directory, **options)
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
    "dynexec-suffix": partial(DynExecSystem, speculation="suffix"),
    "dynexec-draft": partial(DynExecSystem, speculation="draft_model", assistant=True, **AUTO),
    "dynexec-draft-k3": partial(DynExecSystem, speculation="draft_model", assistant=True, **K3),
    "dynexec-head": partial(DynExecSystem, speculation="draft_head", head="draft_head"),
    "dynexec-head-k4": partial(DynExecSystem, speculation="draft_head", head="draft_head", num_assistant_tokens=4),
    "dynexec-head-disco": partial(
        DynExecSystem, speculation="draft_head", head="draft_head", num_assistant_tokens_schedule="disco"
    ),
    "dynexec-exit-10": partial(DynExecSystem, speculation="exit_heads", head="exit_head_9", assistant_early_exit=10),
    "dynexec-exit-20": partial(DynExecSystem, speculation="exit_heads", head="exit_head_19", assistant_early_exit=20),
    "dynexec-auto": partial(DynExecSystem, speculation="auto"),
    "dynexec-auto+draft": partial(DynExecSystem, speculation="auto", assistant=True),
}
