"""Heads as torch modules, for training. A kind is a class and a line in the registry."""

import torch

from ..config import DecoderHeadConfig
from .adapter import AdapterHead
from .block import BlockHead
from .draft import DraftHead
from .head import Batch, HeadModule
from .norm import NormHead


MODULES: dict[str, type[HeadModule]] = {
    "norm": NormHead,
    "adapter": AdapterHead,
    "block": BlockHead,
    "draft": DraftHead,
}

__all__ = ["MODULES", "Batch", "DraftHead", "HeadModule", "make_head"]


def make_head(config: DecoderHeadConfig, token_ids: torch.Tensor, unembedding: torch.Tensor) -> HeadModule:
    """
    Makes a head with initial weights.

    Args:
        config ([`DecoderHeadConfig`]): configuration of the head.
        token_ids (`torch.LongTensor` of shape `(words,)`): token ids that the head can predict.
        unembedding (`torch.Tensor` of shape `(vocab_size, hidden_size)`): unembedding of the backbone.
    """
    return MODULES[config.kind](config, token_ids, unembedding[token_ids])
