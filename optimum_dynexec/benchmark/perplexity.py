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


# Tokens near each other are hard together; stretches of so many are taken to be independent.
PART_TOKENS = 64
# The first is not predicted.
LEAST_TOKENS = 2


@dataclass(frozen=True)
class Perplexity:
    """
    How well a model foresees a text.

    Args:
        negative_log_likelihood (`float`): summed over the tokens that were predicted, in nats.
        tokens (`int`): how many these are.
        parts (`list[list[float]]`): of stretches of up to 64 of these, one after the other, the same two numbers.
    """

    negative_log_likelihood: float
    tokens: int
    parts: list[list[float]] = field(default_factory=list)

    @property
    def value(self) -> float:
        """`exp` of the mean: 1 for a model that is always certain and right."""
        return math.exp(self.negative_log_likelihood / self.tokens)


def windows(length: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """
    Windows over a text, each token being predicted in exactly one of them, with as much before it as fits.

    Args:
        length (`int`): of the text, in tokens.
        window, stride (`int`): length of a window, and from one to the next.

    Yields:
        `tuple[int, int, int]`: begin and end of a window, and from where on its tokens count.
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
    Teacher-forced perplexity with a sliding window, as transformers' guide "Perplexity of fixed-length models" has it.

    Args:
        model ([`DynExecModelForCausalLM`]): whose `forward` is asked.
        ids (`list[int]`): tokens of the text, at least 2.
        window (`int`): most tokens of a pass. Windows beyond what the model was made for are cut to that.
        stride (`int`): from one window to the next: every token has at least `window - stride` tokens before it, as
            far as the text has them.
        progress (`bool`, *optional*, defaults to `False`): show a progress bar.

    Raises:
        `ValueError`: for a text with fewer than 2 tokens.
    """
    if len(ids) < LEAST_TOKENS:
        raise ValueError(f"perplexity needs a text with at least {LEAST_TOKENS} tokens, but it has {len(ids)}")
    window = min(window, getattr(model.config, "max_position_embeddings", None) or window)
    # Windows overlap, so that no token has nothing before it.
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
    The relative rise of perplexity over that of another model on the same text, stretch by stretch: what one finds
    hard, the other does too.

    Args:
        own, base ([`Perplexity`]): of the model, and of the one that it is compared with.
    """
    rises = [mine[0] - theirs[0] for mine, theirs in zip(own.parts, base.parts, strict=True)]
    found = mean_loss(rises, [count for _, count in own.parts])
    interval = found.interval and Interval(math.expm1(found.interval.low), math.expm1(found.interval.high))
    return Loss(math.expm1(found.value), interval, found.samples, found.variance)
