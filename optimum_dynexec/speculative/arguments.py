"""The arguments of speculation in a call of `generate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ..utils.versions import given_values
from .proposers import PROPOSERS


if TYPE_CHECKING:
    from transformers import GenerationConfig


SPECULATION_MODES = ("auto", "off", *PROPOSERS)
# Modes by their former names.
RENAMED_MODES = {"early_exit": "exit_heads"}


@dataclass(frozen=True)
class SpeculationArguments:
    """
    The arguments of `generate` for speculation, as the caller gave them; `None` if not given. All except
    `speculation`, `draft_window` and `has_assistant` are transformers' own.

    Args:
        speculation (`str`, *optional*): mode, one of [`SPECULATION_MODES`].
        prompt_lookup_num_tokens (`int`, *optional*): number of draft tokens of prompt lookup, which it also requests.
        max_matching_ngram_size (`int`, *optional*): maximum size of an n-gram to look up.
        num_assistant_tokens (`int`, *optional*): number of draft tokens, or its maximum.
        num_assistant_tokens_schedule (`str`, *optional*): schedule that decides the number of draft tokens.
        assistant_confidence_threshold (`float`, *optional*): probability of a token below which a draft ends after it.
        assistant_early_exit (`int`, *optional*): number of the model's first layers that draft.
        draft_window (`int`, *optional*): number of last tokens that the assistant model reads at most.
        has_assistant (`bool`, *optional*, defaults to `False`): whether an `assistant_model` was given.
    """

    speculation: str | None = None
    prompt_lookup_num_tokens: int | None = None
    max_matching_ngram_size: int | None = None
    num_assistant_tokens: int | None = None
    num_assistant_tokens_schedule: str | None = None
    assistant_confidence_threshold: float | None = None
    assistant_early_exit: int | None = None
    draft_window: int | None = None
    has_assistant: bool = False

    @classmethod
    def read(
        cls,
        speculation: str | None,
        has_assistant: bool,
        kwargs: Mapping[str, Any],
        *configs: GenerationConfig | None,
    ) -> SpeculationArguments:
        """
        Reads the arguments from a call and its configurations, without transformers' defaults.

        Args:
            speculation (`str`, *optional*): mode of the call.
            has_assistant (`bool`): whether the call has an assistant model.
            kwargs (`Mapping[str, Any]`): keyword arguments of the call, which take precedence.
            configs (`GenerationConfig`, *optional*): configurations, of which earlier ones take precedence.
        """
        places = [kwargs, *(given_values(config) for config in configs)]
        found = {
            name: next((place[name] for place in places if place.get(name) is not None), None)
            for name in SPECULATION_ARGUMENTS
        }
        return cls(speculation=speculation, has_assistant=has_assistant, **found)

    @property
    def asked(self) -> bool:
        """Whether the call requests anything other than the default."""
        given = any(getattr(self, name) is not None for name in SPECULATION_ARGUMENTS)
        return self.has_assistant or given or self.speculation not in (None, "auto")

    @property
    def mode(self) -> str:
        """
        The requested mode, by name or, as in transformers, by one of its arguments.

        Raises:
            `ValueError`: if there is no such mode.
        """
        if self.speculation is not None:
            return check_mode(self.speculation)
        if self.assistant_early_exit is not None:
            return "exit_heads"
        if self.has_assistant:
            return "draft_model"
        return "auto" if self.prompt_lookup_num_tokens is None else "prompt_lookup"

    def tuned(self, options: Mapping[str, Any]) -> SpeculationArguments:
        """
        Gives these arguments with those that a model was tuned to.

        Args:
            options (`Mapping[str, Any]`):
                Tuned arguments of `generate`. A tuning of an earlier version may have former names of modes.

        Raises:
            `ValueError`: if an argument is not an argument of speculation.
        """
        unknown = sorted(set(options) - {"speculation", *SPECULATION_ARGUMENTS})
        if unknown:
            raise ValueError(f"the model was tuned to {unknown[0]!r}, which this version does not know: tune it again")
        mode = options.get("speculation")
        return replace(
            self, **{**options, "speculation": RENAMED_MODES.get(mode, mode) if isinstance(mode, str) else mode}
        )


SPECULATION_ARGUMENTS = tuple(
    field.name for field in fields(SpeculationArguments) if field.name not in ("speculation", "has_assistant")
)


def check_mode(speculation: str) -> str:
    """
    Checks the name of a mode.

    Raises:
        `ValueError`: if the mode does not exist. For a former name, the message gives the present one.
    """
    if speculation in SPECULATION_MODES:
        return speculation
    if isinstance(speculation, str) and speculation in RENAMED_MODES:
        raise ValueError(
            f"`speculation={speculation!r}` is now called {RENAMED_MODES[speculation]!r}: drafts of exit heads, which"
            " leave the output as it is. To let tokens leave the model early, which changes the output, use the"
            " argument `early_exit`"
        )
    raise ValueError(f"`speculation` must be one of {list(SPECULATION_MODES)}, got {speculation!r}")
