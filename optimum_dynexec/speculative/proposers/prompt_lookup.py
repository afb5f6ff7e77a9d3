"""Proposes what followed an earlier occurrence of the last tokens (prompt lookup decoding, Saxena 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...native import _C
from ...utils.numbers import whole_number
from .base import DraftParts, Proposer, Request


# transformers' longest n-gram, and the length from which a longer match gives no more information about the next
# token.
LOOKUP_NGRAM_SIZE = 2
AUTO_NGRAM_SIZE = 8
# Limit of csrc/kernels/ngram_index.h.
MAX_NGRAM_SIZE = 64


@dataclass(frozen=True)
class PromptLookup(Proposer):
    """
    Prompt lookup.

    Args:
        max_matching_ngram_size (`int`): longest n-gram to look up.
    """

    name = "prompt_lookup"
    fixed_length = True

    max_matching_ngram_size: int = AUTO_NGRAM_SIZE

    @classmethod
    def requested(cls, request: Request) -> Sequence["PromptLookup"]:
        """Uses prompt lookup in its own mode, and beside another source where its argument is given."""
        beside = request.mode != "auto" and request.arguments.prompt_lookup_num_tokens is not None
        if request.mode != cls.name and not beside:
            return ()
        as_transformers = request.mode == cls.name and request.lookahead != "auto"
        return (cls(ngram_size(request, LOOKUP_NGRAM_SIZE if as_transformers else AUTO_NGRAM_SIZE)),)

    def params(self, parts: DraftParts) -> _C.ProposerParams:
        """The parameters for the engine."""
        return _C.ProposerParams(self.name, options={"max_matching_ngram_size": self.max_matching_ngram_size})


def ngram_size(request: Request, default: int) -> int:
    """
    The number of last tokens to compare at most.

    Raises:
        `ValueError`: if the call asks for another number than 1 to [`MAX_NGRAM_SIZE`].
    """
    size = request.arguments.max_matching_ngram_size
    return default if size is None else whole_number("max_matching_ngram_size", size, 1, MAX_NGRAM_SIZE)
