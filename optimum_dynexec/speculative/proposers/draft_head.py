"""Proposes what the model's own draft head predicts (EAGLE, arXiv 2401.15077)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...native import _C
from .base import DraftParts, Proposer, Request


@dataclass(frozen=True)
class DraftHead(Proposer):
    """The draft head."""

    name = "draft_head"

    @classmethod
    def requested(cls, request: Request) -> Sequence["DraftHead"]:
        """Uses the draft head in its own mode, and in `"auto"` if there is one."""
        if request.mode == cls.name and not request.has_draft_head:
            raise ValueError(
                "`speculation='draft_head'` needs a draft head, and the model has none: train one with"
                " `optimum-cli dynexec train-heads` and load the model again"
            )
        return (cls(),) if request.has_draft_head and request.mode in ("auto", cls.name) else ()

    def params(self, parts: DraftParts) -> _C.ProposerParams:
        """The parameters for the engine."""
        return _C.ProposerParams(self.name, head=parts.draft_head, memory=self.name)
