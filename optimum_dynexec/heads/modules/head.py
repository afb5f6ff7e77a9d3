"""What all heads have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..config import DecoderHeadConfig
from .layers import RMSNorm


@dataclass
class Batch:
    """
    Sequences laid end to end.

    Args:
        features (`torch.Tensor` of shape `(tokens, feature_size)`):
            Hidden states of every token, at the head's feature layers, if it has any, and at its layer.
        embeddings (`torch.Tensor` of shape `(tokens, hidden_size)`): of every token.
        lengths (`list[int]`): of the sequences.
        firsts (`list[int]`): per sequence, the position of the first token that the model wrote itself.
    """

    features: torch.Tensor
    embeddings: torch.Tensor
    lengths: list[int]
    firsts: list[int]

    def starts(self) -> list[int]:
        """Row at which each sequence begins."""
        starts = [0]
        for length in self.lengths[:-1]:
            starts.append(starts[-1] + length)
        return starts


class HeadModule(nn.Module, ABC):
    """
    A head under training. Rows are predictions; a row's label is a token that the model itself wrote.

    Args:
        config ([`DecoderHeadConfig`]): what it is like.
        token_ids (`torch.LongTensor` of shape `(words,)`): the tokens it can predict.
        unembedding (`torch.Tensor` of shape `(words, hidden_size)`): the backbone's rows of those tokens.
    """

    # How much later than the token of its feature the token stands that a row predicts.
    ahead = 1

    def __init__(self, config: DecoderHeadConfig, token_ids: torch.Tensor, unembedding: torch.Tensor):
        super().__init__()
        self.config = config
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.register_buffer("token_ids", token_ids)
        self.register_buffer("unembedding_rows", unembedding, persistent=False)

    def logits(self, g: torch.Tensor) -> torch.Tensor:
        """Hidden states `[rows, d]` to logits `[rows, words]`."""
        return F.linear(self.norm(g), self.unembedding_rows)

    def rows(self, batch: Batch) -> list[slice]:
        """Per sequence, the rows of the batch whose label is a token that the model wrote, and lies in it."""
        slices = []
        for start, length, first in zip(batch.starts(), batch.lengths, batch.firsts, strict=True):
            slices.append(slice(start + max(first - self.ahead, 0), start + max(length - self.ahead, 0)))
        return slices

    @abstractmethod
    def forward(self, batch: Batch, steps: int) -> Sequence[torch.Tensor]:
        """
        Returns per step the hidden states `[rows, d]` of the rows that [`rows`] names, for [`logits`]. In step `s`,
        counted from 0, row `i` predicts the token `ahead + s` behind that of its feature. All but a draft head have
        one step.
        """
