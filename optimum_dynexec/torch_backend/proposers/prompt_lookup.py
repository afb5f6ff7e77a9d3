"""Drafts from an earlier occurrence of the last tokens (prompt lookup decoding, Saxena 2023)."""

import torch

from ...speculative.proposers.prompt_lookup import PromptLookup
from .base import Draft, Proposer, Sources


class PromptLookupProposer(Proposer):
    """
    Finds the longest ending of the sequence, of at most `max_matching_ngram_size` tokens, that also occurs earlier in
    it, and proposes what followed its latest occurrence. It proposes with certainty.
    """

    name = "prompt_lookup"

    def propose(self, tokens: list[int], limit: int) -> Draft:
        (config,) = self.sources.config.of_kind(PromptLookup)
        following = _position_after_match(tokens, config.max_matching_ngram_size)
        if following is None:
            return Draft()
        text = list(tokens)
        for position in range(following, following + limit):
            text.append(text[position])  # at the end of the text, it continues with its own draft
        return certain(text[len(tokens) :], self.sources)


def certain(tokens: list[int], sources: Sources) -> Draft:
    """A draft whose tokens were proposed with certainty."""
    vocab_size = sources.decoder.model.get_output_embeddings().weight.shape[0]
    ids = torch.tensor(tokens, dtype=torch.long)
    return Draft(tokens, list(torch.nn.functional.one_hot(ids, vocab_size).double()))


def _position_after_match(tokens: list[int], longest: int) -> int | None:
    for size in range(min(longest, len(tokens) - 1), 0, -1):
        ending = tokens[-size:]
        for start in range(len(tokens) - size - 1, -1, -1):
            if tokens[start : start + size] == ending:
                return start + size
    return None
