"""Verifies draft tokens: the rule that makes speculative decoding exact."""

import torch
from transformers.generation.logits_process import LogitsProcessorList


def distribution(
    logits: torch.Tensor, ids: torch.Tensor, processors: LogitsProcessorList, do_sample: bool
) -> torch.Tensor:
    """
    The distribution that a token is drawn from. Greedy decoding samples from a distribution with one certain token.

    Args:
        logits (`torch.Tensor` of shape `(vocab_size,)`):
            logits of a model or a head; `-inf` for tokens that the head cannot predict.
        ids (`torch.LongTensor` of shape `(1, length)`): sequence before the token.
        processors (`LogitsProcessorList`): processors that change the distribution.
        do_sample (`bool`): whether to sample; otherwise the most probable token is certain.

    Returns:
        `torch.Tensor` float64 of shape `(vocab_size,)`.
    """
    scores = processors(ids, logits[None].float())[0].double()
    if do_sample:
        return scores.softmax(-1)
    return torch.zeros_like(scores).index_fill_(0, scores.argmax(), 1.0)


def draw(probabilities: torch.Tensor, generator: torch.Generator) -> int:
    """Draws a token with these probabilities."""
    return int(torch.multinomial(probabilities, 1, generator=generator))


def verify(p: torch.Tensor, q: torch.Tensor, token: int, generator: torch.Generator) -> tuple[int, bool]:
    """
    Accepts or replaces a draft token, so that the result has the distribution `p` (Leviathan et al. 2023, arXiv
    2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318).

    Args:
        p (`torch.Tensor` float64 of shape `(vocab_size,)`): distribution of the model.
        q (`torch.Tensor` float64 of shape `(vocab_size,)`): distribution that `token` was drawn from.
        token (`int`): draft token.
        generator (`torch.Generator`): random generator.

    Returns:
        `tuple`: the chosen token, and whether it is the draft token.
    """
    if torch.rand((), dtype=torch.float64, generator=generator) < p[token] / q[token]:
        return token, True
    residual = (p - q).clamp(min=0.0)
    return draw(residual / residual.sum(), generator), False
