"""Drafts of the most frequent continuation of the last tokens (SuffixDecoding, arXiv 2411.04975)."""

from collections import Counter

from ...speculative.proposers.suffix import Suffix
from .base import Draft, Proposer
from .prompt_lookup import certain


class SuffixProposer(Proposer):
    """
    Finds the longest ending of the sequence, of at most `max_matching_ngram_size` tokens, that also occurs earlier in
    it, and proposes the token that most often followed it, and so on. It proposes with certainty. Texts of other calls
    are not drafts here.
    """

    name = "suffix"

    def propose(self, tokens: list[int], limit: int) -> Draft:
        (config,) = self.sources.config.of_kind(Suffix)
        draft: list[int] = []
        while len(draft) < limit:
            token = _most_frequent_after(tokens, [*tokens, *draft], config.max_matching_ngram_size)
            if token is None:
                break
            draft.append(token)
        return certain(draft, self.sources)


def _most_frequent_after(text: list[int], context: list[int], longest: int) -> int | None:
    for size in range(min(longest, len(context)), 0, -1):
        ending = context[-size:]
        followers = Counter(
            text[start + size] for start in range(len(text) - size) if text[start : start + size] == ending
        )
        if followers:
            return followers.most_common(1)[0][0]
    return None
