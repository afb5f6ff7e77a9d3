"""The losses and scores of each kind of head. A kind is a class and a line in the registry."""

from abc import ABC, abstractmethod

import torch
from torch.nn import functional as F


class Objective(ABC):
    """
    Compares a head with the full model and with labels.

    The input of a head, and all data for the comparison, is a matrix with a row for each sample or for each of its
    tokens, one sample after the other; `sizes` are the numbers of rows of each sample.
    """

    # Whether there is a row for each token.
    by_token = True

    @abstractmethod
    def divergence(
        self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """The mean distance of a head from the full model; both are `[rows, num_labels]`."""

    @abstractmethod
    def agreement(self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """The score of each of its answers, from 0 to 1."""


class Classes(Objective):
    """A distribution over labels in each row."""

    def __init__(self, by_token: bool):
        self.by_token = by_token

    def divergence(
        self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        return kl_divergence(logits, full, temperature)

    def agreement(self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        return (logits.argmax(-1) == full.argmax(-1)).float()


class Span(Objective):
    """Two distributions over the tokens of a sample, one in each column."""

    def divergence(
        self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        pairs = zip(_by_sample(logits, sizes), _by_sample(full, sizes), strict=True)
        return torch.stack([kl_divergence(a.T, b.T, temperature) for a, b in pairs]).mean()

    def agreement(self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        pairs = zip(_by_sample(logits, sizes), _by_sample(full, sizes), strict=True)
        return torch.stack([(a.argmax(0) == b.argmax(0)).all().float() for a, b in pairs])


class Features(Objective):
    """A vector in each row: the mean squared error, and the cosine."""

    def divergence(
        self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        return F.mse_loss(logits, full) + 1.0 - F.cosine_similarity(logits, full, dim=-1).mean()

    def agreement(self, logits: torch.Tensor, full: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        return F.cosine_similarity(logits, full, dim=-1).clamp(min=0.0)


OBJECTIVES: dict[str, Objective] = {
    "pooled": Classes(by_token=False),
    "token": Classes(by_token=True),
    "span": Span(),
    "features": Features(),
}


def kl_divergence(logits: torch.Tensor, full: torch.Tensor, temperature: float) -> torch.Tensor:
    """
    Mean over rows of KL(full || logits), times the square of the temperature so that gradients keep their size
    (Hinton et al., arXiv 1503.02531).

    Args:
        logits (`torch.Tensor` of shape `(rows, labels)`): logits of the head.
        full (`torch.Tensor` of shape `(rows, labels)`): logits of the full model.
        temperature (`float`): number that both are divided by.
    """
    log_p, log_q = (full / temperature).log_softmax(-1), (logits / temperature).log_softmax(-1)
    return F.kl_div(log_q, log_p, log_target=True, reduction="batchmean") * temperature**2


def certainty_loss(certainty: torch.Tensor, logits: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """
    Squared error of an exit's certainty, compared with whether it is right (BERxiT, section 3.3).

    Args:
        certainty (`torch.Tensor` of shape `(batch,)`): certainty before the sigmoid.
        logits (`torch.Tensor` of shape `(batch, labels)`): logits of the exit.
        right (`torch.Tensor` int64 of shape `(batch,)`): correct labels.
    """
    return F.mse_loss(torch.sigmoid(certainty), (logits.detach().argmax(-1) == right).float())


def _by_sample(values: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return values.split(sizes.tolist())
