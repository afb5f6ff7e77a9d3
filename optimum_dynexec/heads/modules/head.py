"""The common base of all heads."""

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
            Hidden states of each token: at the head's feature layers, if it has any, and at its layer.
        embeddings (`torch.Tensor` of shape `(tokens, hidden_size)`): embedding of each token.
        lengths (`list[int]`): length of each sequence.
        firsts (`list[int]`): position of the first token in each sequence that the model wrote itself.
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
    A head in training. Rows are predictions; a row's label is a token that the model itself wrote.

    Args:
        config ([`DecoderHeadConfig`]): configuration of the head.
        token_ids (`torch.LongTensor` of shape `(words,)`): token ids that the head can predict.
        unembedding (`torch.Tensor` of shape `(words, hidden_size)`):
            rows of the backbone's unembedding for these tokens.
    """

    # The distance from the token of a row's feature to the token that the row predicts.
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
        """For each sequence, the rows of the batch whose label lies in it and is a token that the model wrote."""
        slices = []
        for start, length, first in zip(batch.starts(), batch.lengths, batch.firsts, strict=True):
            slices.append(slice(start + max(first - self.ahead, 0), start + max(length - self.ahead, 0)))
        return slices

    @abstractmethod
    def forward(self, batch: Batch, steps: int) -> Sequence[torch.Tensor]:
        """
        Returns for each step the hidden states `[rows, d]` of the rows that [`rows`] names, for [`logits`]. In step
        `s`, counted from 0, row `i` predicts the token at distance `ahead + s` from that of its feature. All heads but
        a draft head have one step.
        """
