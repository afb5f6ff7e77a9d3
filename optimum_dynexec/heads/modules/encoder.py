"""Exit heads of encoders in torch. Their parameters have the names of the tensors in a head's file."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..config import EncoderHeadConfig


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "gelu": F.gelu,
}
# Axes of the positions, after the axis of the samples.
PLACES = {"tokens": (1,), "nchw": (2, 3), "nhwc": (1, 2)}


class EncoderHeadModule(nn.Module):
    """
    An exit head that computes the same as [`~heads.encoder_ir.build_encoder_head_ir`] with the same tensors.

    Args:
        config ([`EncoderHeadConfig`]): configuration of the head.
        dropout (`float`, *optional*, defaults to 0): dropout of the pooled hidden states in training.
    """

    def __init__(self, config: EncoderHeadConfig, dropout: float = 0.0):
        super().__init__()
        self.config = config
        d, inner = config.hidden_size, config.dense_size or config.hidden_size
        self.norm = nn.LayerNorm(d, eps=config.norm_eps) if config.layer_norm else None
        self.dense = nn.Linear(d, config.dense_size) if config.dense_size else None
        self.certainty = nn.Linear(d, 1) if config.certainty else None
        self.out = nn.Linear(inner, config.num_labels)
        self.dropout = nn.Dropout(dropout)

    def pool(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """
        The input of the head's layers.

        Args:
            hidden_states (`torch.Tensor`): hidden states in the layout of `config`.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                attention mask, which `masked` heads need.

        Returns:
            `torch.Tensor`: `[batch, hidden_size]`; for the kinds that answer for each token, the hidden states
                unchanged.
        """
        if self.config.kind != "pooled":
            return hidden_states
        if self.config.pooling == "cls":
            return hidden_states[:, 0]
        if not self.config.masked:
            return hidden_states.mean(PLACES[self.config.layout])
        if attention_mask is None:
            raise ValueError(f"{self.config.name} pools with an attention mask: pass `attention_mask`")
        weight = attention_mask[..., None].to(hidden_states.dtype)
        return (hidden_states * weight).sum(1) / weight.sum(1).clamp(min=1.0)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """
        The head's output for the result of [`pool`]: `[..., num_labels]`.
        """
        x = pooled if self.norm is None else self.norm(pooled)
        x = self.dropout(x)
        if self.dense is not None:
            x = self.dropout(ACTIVATIONS[self.config.activation](self.dense(x)))
        return self.out(x)

    def certainty_logit(self, pooled: torch.Tensor) -> torch.Tensor:
        """The certainty before the sigmoid, `[batch]`. No gradient flows into the backbone."""
        assert self.certainty is not None
        return self.certainty(pooled.detach())[:, 0]

    def tensors(self) -> dict[str, np.ndarray]:
        """The parameters by their names in a file, float32."""
        return {name: value.detach().cpu().float().numpy().copy() for name, value in self.named_parameters()}
