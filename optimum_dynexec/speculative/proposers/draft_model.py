"""Proposes what the assistant model of the call writes (speculative decoding, arXiv 2211.17192)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...native import _C
from .base import DraftParts, Proposer, Request


@dataclass(frozen=True)
class DraftModel(Proposer):
    """The assistant model."""

    name = "draft_model"
    fixed_length = True

    @classmethod
    def requested(cls, request: Request) -> Sequence["DraftModel"]:
        """Uses the assistant model wherever one is given."""
        given = request.arguments.has_assistant
        if given and request.mode not in ("auto", cls.name):
            raise ValueError(f"`assistant_model` was given with `speculation={request.mode!r}`; use 'auto' for both")
        if request.mode == cls.name and not given:
            raise ValueError("`speculation='draft_model'` needs an `assistant_model`")
        return (cls(),) if given else ()

    def params(self, parts: DraftParts) -> _C.ProposerParams:
        """The parameters for the engine."""
        return _C.ProposerParams(self.name, model=parts.draft_model)
