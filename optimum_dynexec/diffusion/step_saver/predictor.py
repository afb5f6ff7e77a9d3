"""The network that predicts the number of steps from a prompt."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import AutoModel, BertConfig, BertModel


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# Quantiles of the needed steps that are learned together. More quantiles than the used one make the features stable.
LEVELS = (0.5, 0.75, 0.9)


class StepPredictorModule(nn.Module):
    """
    A text encoder, the mean of its states over the prompt's tokens, and a linear head with one output per quantile,
    which are made ascending.

    Args:
        encoder (`PreTrainedModel`):
            text encoder with the inputs `input_ids` and `attention_mask` and the output `last_hidden_state`.
        center (`float`): initial value of the quantiles: the mean logarithm (base 2) of the needed steps.
    """

    def __init__(self, encoder: nn.Module, center: float = 0.0):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, len(LEVELS))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("center", torch.tensor(center))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            input_ids (`torch.Tensor` of shape `[n, tokens]`, int64): prompts, padded.
            attention_mask (`torch.Tensor` of the same shape, int64): attention mask; 0 at padding.

        Returns:
            `torch.Tensor` of shape `[n, levels]`: quantiles of the logarithm (base 2) of the needed steps.
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        raw = self.head((states * mask).sum(1) / mask.sum(1).clamp(min=1))
        steps = torch.cat([raw[:, :1], nn.functional.softplus(raw[:, 1:])], dim=1)
        return self.center + torch.cumsum(steps, dim=1)


def make_encoder(text_encoder: str | Path | None, tokenizer: "PreTrainedTokenizerBase") -> nn.Module:
    """
    Args:
        text_encoder (`str` or `Path`, *optional*):
            transformers encoder to fine-tune. If not set: a small encoder, trained from initial weights, for the
            pipeline's own tokens.
        tokenizer (`PreTrainedTokenizer`): tokenizer of the encoder.
    """
    if text_encoder is not None:
        return AutoModel.from_pretrained(text_encoder, attn_implementation="eager")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=512,
        attn_implementation="eager",
    )
    return BertModel(config, add_pooling_layer=False)


def pinball_loss(predicted: torch.Tensor, needed: torch.Tensor) -> torch.Tensor:
    """
    Mean quantile loss over [`LEVELS`] (Koenker, Bassett 1978).

    Args:
        predicted (`torch.Tensor` of shape `[n, levels]`): quantiles.
        needed (`torch.Tensor` of shape `[n]`): observations.
    """
    levels = torch.tensor(LEVELS, dtype=predicted.dtype, device=predicted.device)
    error = needed.unsqueeze(1) - predicted
    return torch.maximum(levels * error, (levels - 1) * error).mean()


def level_index(delta: float) -> int:
    """Index of the quantile that is conformalised for a delta: the one closest to 1 - delta."""
    return min(range(len(LEVELS)), key=lambda index: abs(LEVELS[index] - (1 - delta)))
