"""Llamas so small that tests can afford them."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def make_llama(
    vocab_size: int, hidden_size: int, num_hidden_layers: int, num_attention_heads: int, seed: int = 0, **options: int
) -> LlamaForCausalLM:
    """Random weights, large enough that tokens differ. It never ends a text by itself."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        num_key_value_heads=1,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        tie_word_embeddings=False,
        **options,
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(config).eval()
