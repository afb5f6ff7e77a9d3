"""Drafts of an exit head after the model's first layers (LayerSkip, arXiv 2404.16710)."""

import torch

from .base import Draft, Proposer


class ExitHeadsProposer(Proposer):
    """Drafts with the model's own layers up to the deepest exit that is asked for, and the head there."""

    name = "exit_heads"
    _forwards = 0

    def propose(self, tokens: list[int], limit: int) -> Draft:
        decoder, layer = self.sources.decoder, self.sources.config.exit_layers[-1]

        def logits(drafted: list[int]) -> torch.Tensor:
            decoder.run_first([*tokens, *drafted], layer)
            return decoder.exit_logits(self.sources.heads[layer], len(tokens) + len(drafted))

        draft = self.draft_with(tokens, limit, logits)
        self._forwards += len(draft.tokens)
        return draft

    @property
    def forwards(self) -> int:
        return self._forwards
