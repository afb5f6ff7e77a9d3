"""A draft head: predicts from hidden states and the embedding of the next token (EAGLE, arXiv 2401.15077)."""

import torch
from torch import nn

from .head import Batch, HeadModule
from .layers import Block, RMSNorm, attend


class DraftHead(HeadModule):
    """
    `fc([norm(e); norm(h)])`, a block, then norm and unembedding. The hidden states of its feature layers, if it has
    any, are added: `fc_layers([norm(h_1); norm(h_2); ...])`. While it drafts, the block's output replaces
    the hidden state that is not known yet, and zeros replace those of the feature layers. It is trained on several
    such steps (EAGLE-3, arXiv 2503.01840).
    """

    ahead = 2

    def __init__(self, config, token_ids: torch.Tensor, unembedding: torch.Tensor):
        super().__init__(config, token_ids, unembedding)
        d = config.hidden_size
        self.norm_embedding = RMSNorm(d, config.norm_eps)
        self.norm_hidden = RMSNorm(d, config.norm_eps)
        self.fc = nn.Linear(2 * d, d, bias=False)
        self.block = Block(config)
        # At first, the block sees about the output of the backbone's last layer.
        nn.init.normal_(self.fc.weight, std=0.02)
        with torch.no_grad():
            self.fc.weight[:, d:] += torch.eye(d)
        layers = config.feature_layers
        if layers:
            self.norm_layers = nn.ModuleList(RMSNorm(d, config.norm_eps) for _ in layers)
            self.fc_layers = nn.Linear(len(layers) * d, d, bias=False)
            nn.init.zeros_(self.fc_layers.weight)

    def _fused(self, embeddings: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """
        `embeddings` `[rows, d]`; `hidden` `[rows, feature_size]`, or the hidden states of the head itself `[rows, d]`.
        """
        d = self.config.hidden_size
        *layers, last = hidden.split(d, dim=-1)
        x = self.fc(torch.cat([self.norm_embedding(embeddings), self.norm_hidden(last)], dim=-1))
        if not layers:
            return x
        normed = [norm(states) for norm, states in zip(self.norm_layers, layers, strict=True)]
        return x + self.fc_layers(torch.cat(normed, dim=-1))

    def forward(self, batch: Batch, steps: int) -> list[torch.Tensor]:
        block = self.block
        device = batch.features.device
        # Row i takes the feature of token i and the embedding of token i + 1. The last row of a sequence has no next
        # token: no label is read from it, and no row attends to it.
        x = self._fused(batch.embeddings.roll(-1, 0), batch.features)
        positions = torch.cat([torch.arange(n, device=device) for n in batch.lengths])
        y = block.input_norm(x)
        keys, values = block.keys_values(y, positions)
        rows = self.rows(batch)
        index = torch.cat([torch.arange(r.start, r.stop, device=device) for r in rows])
        x, y, positions = x[index], y[index], positions[index]
        chain: list[tuple[torch.Tensor, torch.Tensor]] = []
        outputs: list[torch.Tensor] = []
        for step in range(steps):
            if step > 0:
                # The next input is the token that the row before has predicted. After the end of the text it is a
                # wrong token, but then there is no label either.
                following = (index + 1 + step).clamp(max=len(batch.embeddings) - 1)
                x = self._fused(batch.embeddings[following], outputs[-1])
                y = block.input_norm(x)
                chain.append(block.keys_values(y, positions + step))
            queries = block.queries(y, positions + step)
            attended, done = [], 0
            for start, r in zip(batch.starts(), rows, strict=True):
                part = slice(done, done + r.stop - r.start)
                attended.append(
                    attend(
                        queries[part],
                        keys[start : r.stop],
                        values[start : r.stop],
                        [(k[part], v[part]) for k, v in chain],
                    )
                )
                done = part.stop
            outputs.append(block.finish(x, torch.cat(attended)))
        return outputs
