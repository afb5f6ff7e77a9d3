"""What a call of `generate` says of speculation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from transformers import GenerationConfig


SPECULATION_MODES = ("auto", "off", "prompt_lookup", "draft_model", "draft_head", "exit_heads")
# Modes by their former names.
RENAMED_MODES = {"early_exit": "exit_heads"}


@dataclass(frozen=True)
class SpeculationArguments:
    """
    The arguments of `generate` that say how to speculate, as they were given; `None`: not given. All but the first and
    the last are transformers' own.

    Args:
        speculation (`str`, *optional*): one of [`SPECULATION_MODES`].
        prompt_lookup_num_tokens (`int`, *optional*): draft length of prompt lookup, which it also asks for.
        max_matching_ngram_size (`int`, *optional*): longest n-gram to look up.
        num_assistant_tokens (`int`, *optional*): draft length, or the longest one.
        num_assistant_tokens_schedule (`str`, *optional*): what decides the draft length.
        assistant_confidence_threshold (`float`, *optional*): a draft ends after a token less probable.
        assistant_early_exit (`int`, *optional*): draft with so many of the model's first layers.
        has_assistant (`bool`, *optional*, defaults to `False`): whether an `assistant_model` was given.
    """

    speculation: str | None = None
    prompt_lookup_num_tokens: int | None = None
    max_matching_ngram_size: int | None = None
    num_assistant_tokens: int | None = None
    num_assistant_tokens_schedule: str | None = None
    assistant_confidence_threshold: float | None = None
    assistant_early_exit: int | None = None
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
        Reads them where they may stand, without transformers' defaults.

        Args:
            speculation (`str`, *optional*): of the call.
            has_assistant (`bool`): whether the call has an assistant model.
            kwargs (`Mapping[str, Any]`): of the call, which come first.
            configs (`GenerationConfig`, *optional*): that count where the ones before say nothing.
        """
        places = [kwargs, *(vars(config) for config in configs if config is not None)]
        found = {
            name: next((place[name] for place in places if place.get(name) is not None), None)
            for name in TRANSFORMERS_ARGUMENTS
        }
        return cls(speculation=speculation, has_assistant=has_assistant, **found)

    @property
    def asked(self) -> bool:
        """Whether the call asks for anything but the default."""
        given = any(getattr(self, name) is not None for name in TRANSFORMERS_ARGUMENTS)
        return self.has_assistant or given or self.speculation not in (None, "auto")

    @property
    def mode(self) -> str:
        """
        The mode that is asked for, by name or as in transformers by one of its arguments.

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
        These arguments with those that a model was tuned to.

        Args:
            options (`Mapping[str, Any]`): arguments of `generate`; of an earlier version's tuning, with the names that
                modes had then.

        Raises:
            `ValueError`: for an argument that does not say how to speculate.
        """
        unknown = sorted(set(options) - {"speculation", *TRANSFORMERS_ARGUMENTS})
        if unknown:
            raise ValueError(f"the model was tuned to {unknown[0]!r}, which this version does not know: tune it again")
        mode = options.get("speculation")
        return replace(self, **{**options, "speculation": RENAMED_MODES.get(mode or "", mode)})


TRANSFORMERS_ARGUMENTS = tuple(
    field.name for field in fields(SpeculationArguments) if field.name not in ("speculation", "has_assistant")
)


def check_mode(speculation: str) -> str:
    """
    Raises:
        `ValueError`: if there is no such mode; for the former name of one, the message has the present one.
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
