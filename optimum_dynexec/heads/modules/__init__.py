"""Heads as torch modules, for training. A kind is a class and a line in the registry."""

import torch

from ..config import HeadConfig
from .adapter import AdapterHead
from .block import BlockHead
from .draft import DraftHead
from .head import Batch, Head
from .norm import NormHead


MODULES: dict[str, type[Head]] = {"norm": NormHead, "adapter": AdapterHead, "block": BlockHead, "draft": DraftHead}

__all__ = ["MODULES", "Batch", "DraftHead", "Head", "make_head"]


def make_head(config: HeadConfig, token_ids: torch.Tensor, unembedding: torch.Tensor) -> Head:
    """
    Makes a head with fresh weights.

    Args:
        config ([`HeadConfig`]): what it is like.
        token_ids (`torch.LongTensor` of shape `(words,)`): the tokens it can predict.
        unembedding (`torch.Tensor` of shape `(vocab_size, hidden_size)`): the backbone's.
    """
    return MODULES[config.kind](config, token_ids, unembedding[token_ids])
