"""Batches of examples for a head."""

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from ...heads.modules import Batch, HeadModule
from .features import LAST, Features


class Batches:
    """
    Makes batches of examples for one head, with the labels of its rows.

    Args:
        head ([`HeadModule`]): head that determines the rows and the labels.
        features ([`Features`]): texts with hidden states.
        embedding (`torch.Tensor` of shape `(vocab_size, hidden_size)`): embedding table of the backbone.
        rows (`int`): approximate number of predicted tokens in a batch.
        device (`str`): torch device.
    """

    def __init__(self, head: HeadModule, features: Features, embedding: torch.Tensor, rows: int, device: str):
        self.head, self.features, self.embedding, self.rows, self.device = head, features, embedding, rows, device
        config = head.config
        self.layer_names = [*map(str, config.layers_read), *([LAST] if config.layer is None else [])]
        # Index of each token among the head's tokens; -1: the head cannot predict it.
        self.word_of = torch.full((head.config.vocab_size,), -1)
        self.word_of[head.token_ids.cpu()] = torch.arange(len(head.token_ids))

    def indices(self, order: list[int]) -> Iterator[list[int]]:
        """Groups examples, in the given order, into batches."""
        batch: list[int] = []
        rows = 0
        for index in order:
            text = self.features.text(index)
            batch.append(index)
            rows += len(text.tokens) - text.first
            if rows >= self.rows:
                yield batch
                batch, rows = [], 0
        if batch:
            yield batch

    def batch(self, indices: list[int]) -> tuple[Batch, torch.Tensor, torch.Tensor]:
        """
        Makes one batch.

        Returns:
            `tuple`: the batch; the labels of its rows at the first step, `[rows]`, -1 where the head cannot predict
                the token;
            and the hidden states `[rows, hidden_size]` from which the backbone chose the labels.
        """
        names = sorted({*self.layer_names, LAST})
        examples = [self.features.example(index, names) for index in indices]
        tokens = torch.tensor([token for example in examples for token in example.text.tokens])
        last = torch.cat([example.hidden_states[LAST] for example in examples])
        features = [
            torch.cat([example.hidden_states[name] for name in self.layer_names], dim=1) for example in examples
        ]
        batch = Batch(
            torch.cat(features).float().to(self.device),
            self.embedding[tokens].float().to(self.device),
            [len(example.text.tokens) for example in examples],
            [example.text.first for example in examples],
        )
        rows = torch.cat([torch.arange(r.start, r.stop) for r in self.head.rows(batch)])
        labels = self.word_of[tokens[rows + self.head.ahead]]
        return batch, labels, last[rows + self.head.ahead - 1].float().to(self.device)

    def shifted(self, batch: Batch, labels: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The labels `step` rows later, and whether these rows are still in the same text."""
        inside = torch.cat([torch.arange(r.stop - r.start) < r.stop - r.start - step for r in self.head.rows(batch)])
        return F.pad(labels, (0, step), value=-1)[step:], inside
