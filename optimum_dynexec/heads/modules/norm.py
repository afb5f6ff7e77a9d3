"""The logit lens with its own norm (nostalgebraist, "interpreting GPT: the logit lens", 2020)."""

import torch

from .head import Batch, HeadModule


class NormHead(HeadModule):
    """Norm, then the backbone's unembedding."""

    def forward(self, batch: Batch, steps: int) -> list[torch.Tensor]:
        return [torch.cat([batch.features[rows] for rows in self.rows(batch)])]
