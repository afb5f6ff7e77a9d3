"""Proposes what most often followed the last tokens, here and in earlier texts (SuffixDecoding, arXiv 2411.04975)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...native import _C
from .base import DraftParts, Proposer, Request
from .prompt_lookup import MAX_NGRAM_SIZE, ngram_size


@dataclass(frozen=True)
class Suffix(Proposer):
    """
    Suffix drafts.

    Args:
        max_matching_ngram_size (`int`): number of last tokens that are compared at most.
    """

    name = "suffix"

    max_matching_ngram_size: int = MAX_NGRAM_SIZE

    @classmethod
    def requested(cls, request: Request) -> Sequence["Suffix"]:
        """Uses suffix drafts in `"auto"` and in their own mode."""
        if request.mode not in ("auto", cls.name):
            return ()
        return (cls(ngram_size(request, MAX_NGRAM_SIZE)),)

    def params(self, parts: DraftParts) -> _C.ProposerParams:
        """The parameters for the engine."""
        return _C.ProposerParams(self.name, options={"max_matching_ngram_size": self.max_matching_ngram_size})
