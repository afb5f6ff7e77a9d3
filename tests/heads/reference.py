"""Heads in numpy, written from their definition alone, and random ones."""

import numpy as np

from optimum_dynexec.heads.config import DecoderHeadConfig
from optimum_dynexec.heads.tensors import tensor_shapes


VOCAB, WORDS = 40, 23
SIZES = {
    "hidden_size": 48,
    "vocab_size": VOCAB,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 16,
    "intermediate_size": 56,
    "rank": 5,
}


def random_head(kind: str, words: int = WORDS, seed: int = 0, **options) -> tuple[DecoderHeadConfig, dict, np.ndarray]:
    """
    A head's configuration and tensors, and an unembedding `[vocab_size, hidden_size]`. Kinds are those of
    `DecoderHeadConfig`, and `"draft+layers"`, which reads two layers beside the last hidden states.
    """
    rng = np.random.default_rng(seed)
    if kind == "draft+layers":
        kind, options = "draft", {"feature_layers": (0, 1), **options}
    config = DecoderHeadConfig(**{"kind": kind, "layer": None if kind == "draft" else 1, **SIZES, **options})
    tensors = {
        name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in tensor_shapes(config, words).items()
    }
    tensors["token_ids"] = rng.permutation(config.vocab_size)[:words].astype(np.int64)
    return config, tensors, rng.normal(0, 0.3, (config.vocab_size, config.hidden_size)).astype(np.float32)


def head(
    config: DecoderHeadConfig, tensors: dict, unembedding: np.ndarray, h: np.ndarray, e: np.ndarray | None = None
):
    """
    Logits `[length, words]` and what they are made of, `[length, hidden_size]`, of one whole sequence; of a draft head
    with feature layers the latter behind zeros for these, as it goes on from them.
    """
    t = {name: values.astype(np.float64) for name, values in tensors.items() if name != "token_ids"}
    if config.shares_unembedding:
        t["unembedding.weight"] = unembedding[tensors["token_ids"]].astype(np.float64)

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.norm_eps) * t[f"{name}.weight"]

    def product(x, name):
        return x @ t[f"{name}.weight"].T

    def silu(x):
        return x / (1 + np.exp(-x))

    def rotated(x):
        half = config.head_dim // 2
        inverse = config.rope_theta ** (-np.arange(half) * 2 / config.head_dim)
        turn = np.exp(1j * np.arange(len(x))[:, None, None] * inverse)
        turned = (x[..., :half] + 1j * x[..., half:]) * turn
        return np.concatenate([turned.real, turned.imag], -1)

    def block(x):
        y = norm(x, "block.input_norm")
        q = rotated(product(y, "block.q").reshape(len(x), config.num_attention_heads, -1))
        k = rotated(product(y, "block.k").reshape(len(x), config.num_key_value_heads, -1))
        v = product(y, "block.v").reshape(len(x), config.num_key_value_heads, -1)
        attended = np.zeros((len(x), config.num_attention_heads, config.head_dim))
        for row in range(len(x)):
            for i in range(config.num_attention_heads):
                j = i * config.num_key_value_heads // config.num_attention_heads
                scores = np.exp(k[: row + 1, j] @ q[row, i] / np.sqrt(config.head_dim))
                attended[row, i] = scores @ v[: row + 1, j] / scores.sum()
        x = x + product(attended.reshape(len(x), -1), "block.o")
        y = norm(x, "block.post_norm")
        return x + product(silu(product(y, "block.gate")) * product(y, "block.up"), "block.down")

    def fused():
        size = config.hidden_size
        *layers, last = (h[:, start : start + size] for start in range(0, h.shape[1], size))
        x = product(np.concatenate([norm(e, "norm_embedding"), norm(last, "norm_hidden")], -1), "fc")
        if layers:
            normed = [norm(states, f"norm_layers.{i}") for i, states in enumerate(layers)]
            x = x + product(np.concatenate(normed, -1), "fc_layers")
        return x

    g = {
        "norm": lambda: h,
        "adapter": lambda: h + product(silu(product(h, "down")), "up"),
        "block": lambda: block(h),
        "draft": lambda: block(fused()),
    }[config.kind]()
    own = np.pad(g, ((0, 0), (h.shape[1] - g.shape[1], 0)))
    return product(norm(g, "norm"), "unembedding"), own
