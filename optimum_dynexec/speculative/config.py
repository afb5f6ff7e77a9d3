"""What one `generate` call drafts with, resolved from its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..native import _C
from ..utils.numbers import finite_number, whole_number
from .arguments import SpeculationArguments
from .proposers import PROPOSERS, Proposer, Request
from .proposers.exit_heads import ExitHeads


Kind = TypeVar("Kind", bound=Proposer)

# What decides the draft length; transformers calls it `num_assistant_tokens_schedule`.
LOOKAHEADS = tuple(_C.lookahead_names())

# Longest draft that "auto" considers: one less than the number of rows in the longest forward pass that is timed at
# load.
AUTO_NUM_TOKENS = 31
# Longest draft that can be asked for.
MAX_NUM_TOKENS = 1024
# transformers' draft lengths and threshold for prompt lookup and for assistant models.
LOOKUP_NUM_TOKENS = 10
ASSISTANT_NUM_TOKENS = 20
ASSISTANT_THRESHOLD = 0.4


@dataclass(frozen=True)
class SpeculationConfig:
    """
    How one `generate` call speculates.

    Args:
        proposers (`tuple[Proposer, ...]`, *optional*):
            Draft sources. Without any, the call decodes plainly.
        lookahead (`str`, *optional*, defaults to `"auto"`):
            What decides the draft length, one of [`LOOKAHEADS`].
        num_assistant_tokens (`int`, *optional*, defaults to 31):
            The draft length, or the longest one for `"auto"`.
        assistant_confidence_threshold (`float`, *optional*, defaults to 0.0):
            A draft of the assistant model or a head ends after a token that is less probable; with the lookahead
            `"disco"`, after one that is less probably accepted.
    """

    proposers: tuple[Proposer, ...] = ()
    lookahead: str = "auto"
    num_assistant_tokens: int = AUTO_NUM_TOKENS
    assistant_confidence_threshold: float = 0.0

    @property
    def enabled(self) -> bool:
        """Whether anything is proposed at all."""
        return bool(self.proposers)

    @property
    def names(self) -> set[str]:
        """The names of the draft sources."""
        return {proposer.name for proposer in self.proposers}

    def of_kind(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The draft sources of one class."""
        return tuple(proposer for proposer in self.proposers if isinstance(proposer, kind))

    @property
    def exit_layers(self) -> tuple[int, ...]:
        """The layers whose exit heads draft."""
        return tuple(exit_head.layer for exit_head in self.of_kind(ExitHeads))

    @classmethod
    def resolve(
        cls, arguments: SpeculationArguments, has_draft_head: bool = False, exit_layers: Sequence[int] = ()
    ) -> SpeculationConfig:
        """
        Makes the configuration of a call from its arguments.

        Args:
            arguments ([`SpeculationArguments`]):
                Arguments of the call.
            has_draft_head (`bool`, *optional*, defaults to `False`):
                Whether the model was loaded with a draft head.
            exit_layers (`Sequence[int]`, *optional*, defaults to `()`):
                Layers after which the model was loaded with an exit head.

        Raises:
            `ValueError`: for a value that is not accepted, or arguments that contradict each other.
        """
        mode = arguments.mode
        if mode == "off":
            return cls()
        lookahead = _lookahead(mode, arguments)
        request = Request(mode, arguments, lookahead, has_draft_head, exit_layers)
        return cls(
            proposers=tuple(found for kind in PROPOSERS.values() for found in kind.requested(request)),
            lookahead=lookahead,
            num_assistant_tokens=_num_tokens(mode, arguments, lookahead),
            assistant_confidence_threshold=_threshold(arguments, lookahead),
        )


def _lookahead(mode: str, arguments: SpeculationArguments) -> str:
    """
    What decides the draft length: transformers' fixed lengths where its arguments ask for a mode, measured ones in
    `"auto"`. In modes that transformers does not have, the length is fixed only if one is asked for.
    """
    lookahead = arguments.num_assistant_tokens_schedule
    if lookahead is None:
        asked = arguments.num_assistant_tokens is not None or arguments.assistant_early_exit is not None
        lookahead = "auto" if mode == "auto" or (_is_ours(mode) and not asked) else "constant"
    if lookahead not in LOOKAHEADS:
        raise ValueError(f"`num_assistant_tokens_schedule` must be one of {list(LOOKAHEADS)}, got {lookahead!r}")
    return lookahead


def _num_tokens(mode: str, arguments: SpeculationArguments, lookahead: str) -> int:
    """The draft length, or the longest one."""
    default = ASSISTANT_NUM_TOKENS if _has_assistant(arguments) else LOOKUP_NUM_TOKENS
    if lookahead == "auto":
        default = AUTO_NUM_TOKENS
    given = [arguments.prompt_lookup_num_tokens, arguments.num_assistant_tokens]
    # The argument of prompt lookup counts first unless another source was asked for by name.
    if _is_ours(mode) or arguments.has_assistant:
        given.reverse()
    length = next((number for number in given if number is not None), default)
    return whole_number("num_assistant_tokens` / `prompt_lookup_num_tokens", length, 1, MAX_NUM_TOKENS)


def _threshold(arguments: SpeculationArguments, lookahead: str) -> float:
    """The probability of a draft token below which the draft ends."""
    asked = arguments.assistant_confidence_threshold
    if asked is not None:
        return finite_number("assistant_confidence_threshold", asked, 0, 1)
    return ASSISTANT_THRESHOLD if _has_assistant(arguments) or lookahead == "disco" else 0.0


def _is_ours(mode: str) -> bool:
    """Whether a mode asks for a source that transformers does not have."""
    return mode != "auto" and not PROPOSERS[mode].fixed_length


def _has_assistant(arguments: SpeculationArguments) -> bool:
    """Whether something drafts that transformers calls an assistant, for which it has defaults."""
    return arguments.has_assistant or arguments.assistant_early_exit is not None
