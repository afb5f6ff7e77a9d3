"""Which token comes next: the rule that makes speculative decoding exact."""

import torch
from transformers.generation.logits_process import LogitsProcessorList


def distribution(
    logits: torch.Tensor, ids: torch.Tensor, processors: LogitsProcessorList, do_sample: bool
) -> torch.Tensor:
    """
    What a token is drawn from. Greedy decoding is sampling from a distribution that is certain.

    Args:
        logits (`torch.Tensor` of shape `(vocab_size,)`): of a model, or of a head; `-inf` where it knows no word.
        ids (`torch.LongTensor` of shape `(1, length)`): the sequence before.
        processors (`LogitsProcessorList`): what shapes the distribution.
        do_sample (`bool`): or else the most probable token is certain.

    Returns:
        `torch.Tensor` float64 of shape `(vocab_size,)`.
    """
    scores = processors(ids, logits[None].float())[0].double()
    if do_sample:
        return scores.softmax(-1)
    return torch.zeros_like(scores).index_fill_(0, scores.argmax(), 1.0)


def draw(probabilities: torch.Tensor, generator: torch.Generator) -> int:
    """A token with these probabilities."""
    return int(torch.multinomial(probabilities, 1, generator=generator))


def verify(p: torch.Tensor, q: torch.Tensor, token: int, generator: torch.Generator) -> tuple[int, bool]:
    """
    Accepts or replaces a draft token, so that what comes out has the distribution `p` (Leviathan et al. 2023, arXiv
    2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318).

    Args:
        p (`torch.Tensor` float64 of shape `(vocab_size,)`): the distribution of the model.
        q (`torch.Tensor` float64 of shape `(vocab_size,)`): the one that `token` was drawn from.
        token (`int`): the draft.
        generator (`torch.Generator`): of the random numbers.

    Returns:
        `tuple`: the token that stands, and whether it is the draft.
    """
    if torch.rand((), dtype=torch.float64, generator=generator) < p[token] / q[token]:
        return token, True
    residual = (p - q).clamp(min=0.0)
    return draw(residual / residual.sum(), generator), False
