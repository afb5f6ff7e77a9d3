"""A low-rank residual before the norm (Belrose et al., "tuned lens", arXiv 2303.08112, with a bottleneck)."""

import torch
from torch import nn
from torch.nn import functional as F

from .head import Batch, HeadModule


class AdapterHead(HeadModule):
    """`h + up(silu(down(h)))`, then norm and unembedding. Training starts from the plain logit lens."""

    def __init__(self, config, token_ids: torch.Tensor, unembedding: torch.Tensor):
        super().__init__(config, token_ids, unembedding)
        self.down = nn.Linear(config.hidden_size, config.rank, bias=False)
        self.up = nn.Linear(config.rank, config.hidden_size, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, batch: Batch, steps: int) -> list[torch.Tensor]:
        h = torch.cat([batch.features[rows] for rows in self.rows(batch)])
        return [h + self.up(F.silu(self.down(h)))]
