"""Layers that heads are made of."""

import torch
from torch import nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """`x * rsqrt(mean(x^2) + eps) * weight` in float32, as in Llama."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Block(nn.Module):
    """
    A transformer block as in Llama: grouped-query attention with rotary positions, then a gated MLP.

    Its parts are separate, because training attends over sequences laid end to end and over several steps of a draft.

    Args:
        config ([`DecoderHeadConfig`]): sizes, the base of the rotary positions and the norms' epsilon.
    """

    def __init__(self, config):
        super().__init__()
        d, size = config.hidden_size, config.head_dim
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_attention_heads, config.num_key_value_heads, size
        self.input_norm = RMSNorm(d, config.norm_eps)
        self.q = nn.Linear(d, self.num_heads * size, bias=False)
        self.k = nn.Linear(d, self.num_kv_heads * size, bias=False)
        self.v = nn.Linear(d, self.num_kv_heads * size, bias=False)
        self.o = nn.Linear(self.num_heads * size, d, bias=False)
        self.post_norm = RMSNorm(d, config.norm_eps)
        self.gate = nn.Linear(d, config.intermediate_size, bias=False)
        self.up = nn.Linear(d, config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, d, bias=False)
        frequencies = config.rope_theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        self.register_buffer("frequencies", frequencies.float(), persistent=False)

    def queries(self, y: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Normed hidden states `[rows, d]` at int64 `positions` `[rows]` to queries `[rows, heads, head_dim]`."""
        return self._rotate(self.q(y).unflatten(-1, (self.num_heads, self.head_dim)), positions)

    def keys_values(self, y: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normed hidden states `[rows, d]` to keys and values `[rows, kv_heads, head_dim]`."""
        shape = (self.num_kv_heads, self.head_dim)
        return self._rotate(self.k(y).unflatten(-1, shape), positions), self.v(y).unflatten(-1, shape)

    def finish(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """What follows attention: `x` is the block's input `[rows, d]`, `attended` `[rows, heads * head_dim]`."""
        x = x + self.o(attended)
        y = self.post_norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))

    def _rotate(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        angles = (positions[:, None].float() * self.frequencies).repeat(1, 2)[:, None, :]
        first, second = x.float().chunk(2, dim=-1)
        return x * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()


def attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    chain: list[tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> torch.Tensor:
    """
    Causal attention of the last rows of one sequence, as a draft sees it.

    Row `r` of `rows` stands for position `len(keys) - rows + r` and attends to the keys up to it. In a later step of a
    draft it also attends to what its own draft has added: row `r` of each pair in `chain`.

    Args:
        queries (`torch.Tensor` of shape `(rows, heads, head_dim)`): queries of the last `rows` positions.
        keys (`torch.Tensor` of shape `(length, kv_heads, head_dim)`): keys of the whole sequence.
        values (`torch.Tensor` of shape `(length, kv_heads, head_dim)`): values of the whole sequence.
        chain (`list` of pairs of `torch.Tensor` of shape `(rows, kv_heads, head_dim)`, *optional*): keys and values of
            the previous steps.

    Returns:
        `torch.Tensor` of shape `(rows, heads * head_dim)`.
    """
    rows, heads, size = queries.shape
    length, kv_heads = keys.shape[:2]
    group = heads // kv_heads
    # [kv_heads, group, rows, size]: heads that share keys are adjacent.
    q = queries.view(rows, kv_heads, group, size).permute(1, 2, 0, 3) * size**-0.5
    scores = (q.flatten(1, 2) @ keys.permute(1, 2, 0)).view(kv_heads, group, rows, length)
    future = torch.ones(rows, length, dtype=torch.bool, device=q.device).triu(length - rows + 1)
    columns = [scores.float().masked_fill(future, float("-inf"))]
    for key, _ in chain or ():
        columns.append((q * key.permute(1, 0, 2)[:, None]).sum(-1, keepdim=True).float())
    weights = torch.cat(columns, dim=-1).softmax(-1).to(values.dtype)
    out = (weights[..., :length].flatten(1, 2) @ values.permute(1, 0, 2)).view(kv_heads, group, rows, size)
    for i, (_, value) in enumerate(chain or ()):
        out = out + weights[..., length + i, None] * value.permute(1, 0, 2)[:, None]
    return out.permute(2, 0, 1, 3).reshape(rows, heads * size)
