"""Tiny decoders with exit heads that agree with the full model often, always, or hardly ever."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from transformers import LlamaForCausalLM

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.directory import loading as model_directory
from optimum_dynexec.directory.attached_heads import make_heads
from optimum_dynexec.heads.config import DecoderHeadConfig
from optimum_dynexec.heads.storage import save_head
from optimum_dynexec.heads.tensors import tensor_shapes
from optimum_dynexec.runtime import engine
from tests.speculative.tiny_llama import make_llama
from tests.tiny_models import build_tokenizer


HIDDEN = 48
LAYERS = 4
VOCABULARY = len(build_tokenizer())


def save_model(directory: Path, late: float, vocab_size: int = VOCABULARY, seed: int = 0) -> LlamaForCausalLM:
    """A decoder whose layers behind the first change the hidden states by the share `late` of what they would."""
    model = make_llama(vocab_size, HIDDEN, LAYERS, 3, seed, intermediate_size=64, max_position_embeddings=512)
    for layer in model.model.layers[1:]:
        layer.self_attn.o_proj.weight.data *= late
        layer.mlp.down_proj.weight.data *= late
    model.save_pretrained(directory)
    return model


def save_exit_head(
    directory: Path,
    model: LlamaForCausalLM,
    kind: str,
    layer: int,
    words: Sequence[int] | None = None,
    noise: float = 0.0,
) -> None:
    """
    A head that applies the model's own norm and unembedding, before that changing the hidden states by `noise`: a
    `block` then has keys and values of its own.
    """
    config = DecoderHeadConfig(
        kind=kind,
        layer=layer,
        hidden_size=HIDDEN,
        vocab_size=model.config.vocab_size,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=16,
        intermediate_size=32,
        norm_eps=model.config.rms_norm_eps,
        rank=4,
    )
    words = list(range(model.config.vocab_size)) if words is None else list(words)
    rng = np.random.default_rng(layer)
    tensors = {
        name: rng.standard_normal(shape).astype(np.float32) * 0.3
        for name, shape in tensor_shapes(config, len(words)).items()
    }
    for name in ("block.o.weight", "block.down.weight", "up.weight"):
        if name in tensors:
            tensors[name] *= noise
    tensors["norm.weight"] = model.model.norm.weight.detach().numpy()
    tensors["token_ids"] = np.array(words, np.int64)
    directory.mkdir(exist_ok=True)
    save_head(config, tensors, directory / f"{config.name}.safetensors")


def load_with_heads(directory: Path, heads: Path, **arguments) -> DynExecModelForCausalLM:
    """In float32, heads and their weights too: they are compared with references."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "default_ov_config", lambda *_: {"INFERENCE_PRECISION_HINT": "f32"})
        patch.setattr(model_directory, "make_heads", partial(make_heads, weight_format="fp32"))
        return DynExecModelForCausalLM.from_pretrained(directory, precision="exact", heads=heads, **arguments)
