"""Converts a task's outputs to distributions for a criterion. A new task is a function and a line below."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Distributions:
    """
    The distributions of a batch.

    Args:
        logits (`np.ndarray` float32 `[distributions, labels]`):
            logits of the distributions; `-inf` for what is impossible.
        samples (`np.ndarray` int64 `[distributions]`): sample of the batch to which each distribution belongs.
    """

    logits: np.ndarray
    samples: np.ndarray


def _classes(outputs: dict[str, torch.Tensor], mask: torch.Tensor | None) -> Distributions:
    logits = outputs["logits"].cpu().numpy()
    return Distributions(logits, np.arange(len(logits)))


def _tokens(outputs: dict[str, torch.Tensor], mask: torch.Tensor | None) -> Distributions:
    assert mask is not None
    samples, _ = torch.nonzero(mask.bool().cpu(), as_tuple=True)
    return Distributions(outputs["logits"][mask.bool()].cpu().numpy(), samples.numpy())


def _span(outputs: dict[str, torch.Tensor], mask: torch.Tensor | None) -> Distributions:
    assert mask is not None
    ends = [outputs[name].masked_fill(~mask.bool(), -torch.inf).cpu().numpy() for name in SPAN]
    return Distributions(np.concatenate(ends), np.tile(np.arange(len(mask)), 2))


SPAN = ("start_logits", "end_logits")
# By the kind of the heads: one distribution over labels, one for each token, one for the start and one for the end.
ANSWERS: dict[str, Callable[[dict[str, torch.Tensor], torch.Tensor | None], Distributions]] = {
    "pooled": _classes,
    "token": _tokens,
    "span": _span,
}
# The names of a head's outputs in the outputs of the model.
OUTPUTS: dict[str, Callable[[torch.Tensor], dict[str, torch.Tensor]]] = {
    "pooled": lambda values: {"logits": values},
    "token": lambda values: {"logits": values},
    "span": lambda values: {name: values[..., index] for index, name in enumerate(SPAN)},
}
