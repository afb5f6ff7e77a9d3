"""A transformer block before the norm."""

import torch

from .head import Batch, HeadModule
from .layers import Block, attend


class BlockHead(HeadModule):
    """A block with its own KV cache, then norm and unembedding."""

    def __init__(self, config, token_ids: torch.Tensor, unembedding: torch.Tensor):
        super().__init__(config, token_ids, unembedding)
        self.block = Block(config)

    def forward(self, batch: Batch, steps: int) -> list[torch.Tensor]:
        block = self.block
        positions = torch.cat([torch.arange(n, device=batch.features.device) for n in batch.lengths])
        y = block.input_norm(batch.features)
        keys, values = block.keys_values(y, positions)
        rows = self.rows(batch)
        queries = block.queries(torch.cat([y[r] for r in rows]), torch.cat([positions[r] for r in rows]))
        attended, done = [], 0
        for start, r in zip(batch.starts(), rows, strict=True):
            n = r.stop - r.start
            attended.append(attend(queries[done : done + n], keys[start : r.stop], values[start : r.stop]))
            done += n
        return [block.finish(torch.cat([batch.features[r] for r in rows]), torch.cat(attended))]
