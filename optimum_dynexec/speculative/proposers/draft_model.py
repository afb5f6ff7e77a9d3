"""Proposes what the assistant model of the call writes (speculative decoding, arXiv 2211.17192)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...native import _C
from ...utils.numbers import whole_number
from .base import DraftParts, Proposer, Request


# Most of what an assistant model needs to guess the next token is near, and reading more costs more than it gives.
DRAFT_WINDOW = 256
MAX_DRAFT_WINDOW = 2**30


@dataclass(frozen=True)
class DraftModel(Proposer):
    """
    The assistant model.

    Args:
        draft_window (`int`): number of last tokens that it reads at most before it drafts.
    """

    name = "draft_model"
    fixed_length = True

    draft_window: int = DRAFT_WINDOW

    @classmethod
    def requested(cls, request: Request) -> Sequence["DraftModel"]:
        """Uses the assistant model wherever one is given."""
        given = request.arguments.has_assistant
        if given and request.mode not in ("auto", cls.name):
            raise ValueError(f"`assistant_model` was given with `speculation={request.mode!r}`; use 'auto' for both")
        if request.mode == cls.name and not given:
            raise ValueError("`speculation='draft_model'` needs an `assistant_model`")
        window = request.arguments.draft_window
        if window is not None:
            window = whole_number("draft_window", window, 1, MAX_DRAFT_WINDOW)
        return (cls(window or DRAFT_WINDOW),) if given else ()

    def params(self, parts: DraftParts) -> _C.ProposerParams:
        """The parameters for the engine."""
        return _C.ProposerParams(
            self.name,
            model=parts.draft_model,
            vocabulary=parts.draft_vocabulary,
            options={"draft_window": self.draft_window},
            # Without a name, the observations are those of this process.
            memory=f"{self.name}/{parts.draft_name}" if parts.draft_name else "",
        )
