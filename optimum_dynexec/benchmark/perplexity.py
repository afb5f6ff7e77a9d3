"""Perplexity of a decoder on a text."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from ..utils.intervals import Interval
from ..utils.losses import Loss, mean_loss


if TYPE_CHECKING:
    from optimum.intel import OVModelForCausalLM
    from transformers import PreTrainedModel


# The losses of nearby tokens are correlated. Stretches of this number of tokens are taken to be independent.
PART_TOKENS = 64
# The first token is not predicted.
LEAST_TOKENS = 2


@dataclass(frozen=True)
class Perplexity:
    """
    The perplexity of a model on a text.

    Args:
        negative_log_likelihood (`float`): sum over the predicted tokens, in nats.
        tokens (`int`): number of predicted tokens.
        parts (`list[list[float]]`): the same two numbers for each successive stretch of up to 64 predicted tokens.
    """

    negative_log_likelihood: float
    tokens: int
    parts: list[list[float]] = field(default_factory=list)

    @property
    def value(self) -> float:
        """`exp` of the mean negative log-likelihood: 1 for a model that is always certain and right."""
        return math.exp(self.negative_log_likelihood / self.tokens)


def windows(length: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """
    Splits a text into windows. Each token is predicted in exactly one window, with as much context as fits into it.

    Args:
        length (`int`): number of tokens in the text.
        window, stride (`int`): number of tokens in a window, and from the start of one window to the next.

    Yields:
        `tuple[int, int, int]`: start and end of a window, and the first of its tokens that counts.
    """
    counted = 0
    for begin in range(0, length, stride):
        end = min(begin + window, length)
        yield begin, end, counted
        counted = end
        if end == length:
            return


@torch.no_grad()
def perplexity(
    model: "OVModelForCausalLM | PreTrainedModel", ids: list[int], window: int, stride: int, progress: bool = False
) -> Perplexity:
    """
    Computes the teacher-forced perplexity with a sliding window, as in transformers' guide "Perplexity of fixed-length
    models".

    Args:
        model ([`DynExecModelForCausalLM`]): model whose `forward` is called.
        ids (`list[int]`): token ids of the text, at least 2.
        window (`int`): number of tokens in a window. It is limited to the number of the model's positions.
        stride (`int`): number of tokens from one window to the next. Every token has at least `window - stride` tokens
            of context, if the text has as many before it.
        progress (`bool`, *optional*, defaults to `False`): whether to show a progress bar.

    Raises:
        `ValueError`: if the text has fewer than 2 tokens.
    """
    if len(ids) < LEAST_TOKENS:
        raise ValueError(f"perplexity needs a text with at least {LEAST_TOKENS} tokens, but the text has {len(ids)}")
    window = min(window, getattr(model.config, "max_position_embeddings", None) or window)
    # Windows overlap by at least one token, so that every token has context.
    stride = min(stride, window - 1)
    total, tokens = 0.0, 0
    parts: list[list[float]] = []
    planned = list(windows(len(ids), window, stride))
    for begin, end, counted in tqdm(planned, desc="perplexity", unit="window", disable=not progress, leave=False):
        part = torch.tensor([ids[begin:end]])
        logits = model(input_ids=part, attention_mask=torch.ones_like(part)).logits[0].float()
        # Row i predicts token i + 1, and the very first token of the text is not predicted.
        first = max(counted, 1) - begin
        losses = torch.nn.functional.cross_entropy(logits[first - 1 : -1], part[0, first:], reduction="none")
        total += float(losses.sum())
        tokens += len(losses)
        parts += [[float(stretch.sum()), len(stretch)] for stretch in losses.split(PART_TOKENS) if len(stretch)]
    return Perplexity(total, tokens, parts)


def perplexity_rise(own: Perplexity, base: Perplexity) -> Loss:
    """
    Computes the relative rise of perplexity over that of another model on the same text. The stretches are paired,
    because a stretch that is hard for one model is hard for the other too.

    Args:
        own, base ([`Perplexity`]): perplexity of the model, and of the model that it is compared with.
    """
    rises = [mine[0] - theirs[0] for mine, theirs in zip(own.parts, base.parts, strict=True)]
    found = mean_loss(rises, [count for _, count in own.parts])
    interval = found.interval and Interval(math.expm1(found.interval.low), math.expm1(found.interval.high))
    return Loss(math.expm1(found.value), interval, found.samples, found.variance)
