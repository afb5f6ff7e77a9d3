"""Drafts of the draft head, which reads the model's hidden states (EAGLE, arXiv 2401.15077)."""

from .base import Draft, Proposer


class DraftHeadProposer(Proposer):
    """Drafts with the draft head, token by token. After a single token, there is no hidden state to start from."""

    name = "draft_head"
    _forwards = 0

    def propose(self, tokens: list[int], limit: int) -> Draft:
        if len(tokens) < 2:
            return Draft()
        decoder, head = self.sources.decoder, self.sources.heads[None]
        draft = self.draft_with(tokens, limit, lambda drafted: decoder.draft_logits(head, tokens, drafted))
        self._forwards += len(draft.tokens)
        return draft

    @property
    def forwards(self) -> int:
        return self._forwards
