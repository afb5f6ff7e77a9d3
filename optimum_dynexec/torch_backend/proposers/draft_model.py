"""Drafts of a smaller model with the same tokenizer (speculative decoding, arXiv 2211.17192)."""

import torch

from ..decoder import Decoder
from .base import Draft, Proposer, Sources


class DraftModelProposer(Proposer):
    """Drafts with the assistant model, which has its own KV cache."""

    name = "draft_model"

    def __init__(self, sources: Sources):
        super().__init__(sources)
        self._decoder = Decoder(sources.assistant)
        self._ran: list[int] = []
        self._forwards = 0

    def propose(self, tokens: list[int], limit: int) -> Draft:
        # Rejected draft tokens are removed from its cache; accepted ones are kept.
        self._decoder.rollback(_shared(tokens, self._ran))
        return self.draft_with(tokens, limit, lambda drafted: self._run([*tokens, *drafted]))

    def _run(self, tokens: list[int]) -> torch.Tensor:
        self._ran = tokens
        self._forwards += 1
        logits = self._decoder.run(tokens)
        assert logits is not None  # nothing leaves early
        return logits[-1]

    @property
    def forwards(self) -> int:
        return self._forwards


def _shared(tokens: list[int], ran: list[int]) -> int:
    """The number of valid tokens that it has run, less those that it must run again for its logits."""
    same = 0
    while same < min(len(tokens) - 1, len(ran)) and tokens[same] == ran[same]:
        same += 1
    return same
