"""Tiny random decoders of every supported family and of some that are not, and a tiny tokenizer, all made offline.

Weights are drawn wider than the families' own initialisation, so that the logits of a random model differ clearly and
a greedy comparison means something. The vocabulary is that of the tokenizer, so that any token a model picks has text.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


TEXT = [
    "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox runs over the hill and far away.",
    "She sells sea shells by the sea shore, and the shells she sells are sea shells, she is sure of that.",
    "In the beginning there was a word, and the word was long, and the words that came after it were short.",
    "def add(first, second): return first + second; print(add(1, 2)); print(add(first=3, second=4))",
]
PAD, BOS, EOS = "<pad>", "<s>", "</s>"
LAYERS = 3
SLIDING_WINDOW = 8


@cache
def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with a few merges: any text goes in, any token comes out as text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=256,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _decoder(name: str, seed: int = 0, **options) -> tuple[PreTrainedModel, PretrainedConfig]:
    tokenizer = build_tokenizer()
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )
    torch.manual_seed(seed)
    names = (f"{name.removesuffix('Text')}ForCausalLM", f"{name}LMHeadModel")
    model = next(getattr(transformers, one) for one in names if hasattr(transformers, one))
    return model(config).eval(), config


_llama_like = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
_experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
_many_experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}

TINY_DECODERS: dict[str, Callable[..., tuple[PreTrainedModel, PretrainedConfig]]] = {
    "llama": partial(_decoder, "Llama", **_llama_like),
    "qwen2": partial(_decoder, "Qwen2", tie_word_embeddings=True, **_llama_like),
    "qwen3": partial(_decoder, "Qwen3", head_dim=32, **_llama_like),
    "mistral": partial(_decoder, "Mistral", sliding_window=SLIDING_WINDOW, **_llama_like),
    "phi3": partial(_decoder, "Phi3", **_llama_like),
    "gpt2": partial(
        _decoder, "GPT2", n_embd=64, n_inner=96, n_layer=LAYERS, n_head=4, n_positions=256, initializer_range=0.2
    ),
    "gpt_neox": partial(
        _decoder,
        "GPTNeoX",
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.2,
    ),
    "opt": partial(
        _decoder,
        "OPT",
        hidden_size=64,
        word_embed_proj_dim=64,
        ffn_dim=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=256,
        init_std=0.2,
    ),
    # The only one with ALiBi.
    "bloom": partial(
        _decoder,
        "Bloom",
        hidden_size=64,
        n_layer=LAYERS,
        n_head=4,
        initializer_range=0.2,
        tie_word_embeddings=False,
    ),
    # OpenVINO's PagedAttention transformation drops the window of its local attention.
    "gpt_neo": partial(
        _decoder,
        "GPTNeo",
        hidden_size=64,
        intermediate_size=96,
        num_layers=2,
        attention_types=[[["global", "local"], 1]],
        num_heads=4,
        window_size=SLIDING_WINDOW,
        max_position_embeddings=256,
        initializer_range=0.2,
    ),
    # optimum-intel exports its attention as MatMul and Softmax, which neither the paging nor the cutting recognises.
    "xglm": partial(
        _decoder,
        "XGLM",
        d_model=64,
        ffn_dim=96,
        num_layers=LAYERS,
        attention_heads=4,
        max_position_embeddings=256,
        init_std=0.2,
        scale_embedding=False,
        tie_word_embeddings=False,
    ),
}
# Mixtures of experts, by the names of the families that optimum-intel exports.
TINY_MIXTURES: dict[str, Callable[..., tuple[PreTrainedModel, PretrainedConfig]]] = {
    "mixtral": partial(_decoder, "Mixtral", **_llama_like, **_experts),
    "qwen2_moe": partial(_decoder, "Qwen2Moe", shared_expert_intermediate_size=48, **_llama_like, **_many_experts),
    "qwen3_moe": partial(_decoder, "Qwen3Moe", head_dim=16, **_llama_like, **_many_experts),
    "gpt_oss": partial(_decoder, "GptOss", head_dim=16, sliding_window=SLIDING_WINDOW, **_llama_like, **_experts),
    "granitemoe": partial(_decoder, "GraniteMoe", **_llama_like, **_experts),
    "phimoe": partial(_decoder, "Phimoe", **_llama_like, **_experts),
}
# Families of which every release of transformers between the oldest and the newest has the model, but of which
# optimum-intel exports some with a part of these releases only.
TINY_OTHERS: dict[str, Callable[..., tuple[PreTrainedModel, PretrainedConfig]]] = {
    "cohere": partial(_decoder, "Cohere", **_llama_like),
    "falcon": partial(
        _decoder,
        "Falcon",
        hidden_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.2,
    ),
    "gemma": partial(_decoder, "Gemma", head_dim=16, **_llama_like),
    "gemma2": partial(
        _decoder, "Gemma2", head_dim=16, query_pre_attn_scalar=16, sliding_window=SLIDING_WINDOW, **_llama_like
    ),
    "gemma3_text": partial(
        _decoder,
        "Gemma3Text",
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=SLIDING_WINDOW,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        **_llama_like,
    ),
    "glm": partial(_decoder, "Glm", head_dim=16, **_llama_like),
    "glm4": partial(_decoder, "Glm4", head_dim=16, **_llama_like),
    "gptj": partial(
        _decoder, "GPTJ", n_embd=64, n_layer=LAYERS, n_head=4, rotary_dim=8, n_positions=256, initializer_range=0.2
    ),
    "gpt_bigcode": partial(
        _decoder, "GPTBigCode", n_embd=64, n_inner=96, n_layer=LAYERS, n_head=4, n_positions=256, initializer_range=0.2
    ),
    "granite": partial(_decoder, "Granite", **_llama_like),
    "mpt": partial(
        _decoder,
        "Mpt",
        d_model=64,
        n_heads=4,
        n_layers=LAYERS,
        expansion_ratio=2,
        max_seq_len=256,
        initializer_range=0.2,
    ),
    "olmo": partial(_decoder, "Olmo", **_llama_like),
    "olmo2": partial(_decoder, "Olmo2", **_llama_like),
    "phi": partial(_decoder, "Phi", **{**_llama_like, "num_key_value_heads": 4}),
    "smollm3": partial(_decoder, "SmolLM3", **_llama_like),
    "stablelm": partial(_decoder, "StableLm", **_llama_like),
    "starcoder2": partial(_decoder, "Starcoder2", sliding_window=SLIDING_WINDOW, **_llama_like),
}
# Other factors for the positions of a text from this length on.
ROPE_BORDER = 32
TINY_LONGROPE: dict[str, Callable[..., tuple[PreTrainedModel, PretrainedConfig]]] = {
    name: partial(
        _decoder,
        kind,
        original_max_position_embeddings=ROPE_BORDER,
        rope_scaling={"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [4.0] * 8},
        **_llama_like,
    )
    for name, kind in {"phi3_longrope": "Phi3", "llama_longrope": "Llama"}.items()
}
UNPAGEABLE = {"gpt_neo", "xglm"}
UNSEGMENTABLE = {"xglm"}


def save_tiny_decoder(name: str, directory: Path, **options) -> PreTrainedModel:
    """
    Makes a model of `TINY_DECODERS`, saves it as a Hugging Face directory with its tokenizer, and returns it.

    Args:
        name (`str`):
            A key of `TINY_DECODERS`, `TINY_MIXTURES`, `TINY_OTHERS` or `TINY_LONGROPE`.
        directory (`Path`):
            Where to save; made if absent.
        options (*optional*):
            `seed` of the weights, and any field of the configuration that should differ from the registry's.
    """
    model, _ = {**TINY_DECODERS, **TINY_MIXTURES, **TINY_OTHERS, **TINY_LONGROPE}[name](**options)
    model.save_pretrained(directory)
    build_tokenizer().save_pretrained(directory)
    return model
