"""A decoder whose vocabulary is so small that the distribution of three tokens can be written down."""

from itertools import product
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from optimum_dynexec.heads.config import DecoderHeadConfig
from optimum_dynexec.heads.storage import save_head
from optimum_dynexec.heads.tensors import tensor_shapes
from optimum_dynexec.modeling.logits_processors import PresenceFrequencyPenaltyLogitsProcessor


VOCABULARY = 10
# Every ending of it has occurred before, so that prompt lookup always has a proposal.
PROMPT = [1, 2, 3, 1, 2, 3, 1, 2]

SETTINGS = {
    "plain": {},
    "warpers": {"temperature": 1.4, "top_k": 6, "top_p": 0.93, "min_p": 0.15},
    "penalties": {"repetition_penalty": 1.5, "presence_penalty": 0.8, "frequency_penalty": -0.6},
}


def save_tiny_vocabulary(directory: Path) -> LlamaForCausalLM:
    """Makes the model, without a tokenizer and without a token that ends a text, and saves it."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        tie_word_embeddings=False,
    )
    torch.manual_seed(5)
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(directory)
    return model


def save_exit_head(directory: Path, model: LlamaForCausalLM, kind: str, words: list[int] | None) -> None:
    """An exit head after layer 0, with the model's own norm and unembedding, and random weights else."""
    config = DecoderHeadConfig(
        kind=kind,
        layer=0,
        hidden_size=model.config.hidden_size,
        vocab_size=VOCABULARY,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=16,
    )
    words = list(range(VOCABULARY)) if words is None else words
    rng = np.random.default_rng(3)
    tensors = {
        name: rng.standard_normal(shape).astype(np.float32) * 0.2
        for name, shape in tensor_shapes(config, len(words)).items()
    }
    tensors["norm.weight"] = model.model.norm.weight.detach().numpy()
    tensors["token_ids"] = np.array(words, np.int64)
    directory.mkdir()
    save_head(config, tensors, directory / f"{config.name}.safetensors")


def sharpened(unembedding: np.ndarray) -> np.ndarray:
    """The same model with a tenth of the entropy: it is far too sure of what the target merely prefers."""
    return unembedding * 3


def shuffled(unembedding: np.ndarray) -> np.ndarray:
    """A model whose opinions have nothing to do with the target's."""
    return np.roll(unembedding, 3, axis=0)


def processors(settings: dict) -> LogitsProcessorList:
    """What transformers would apply, in its order."""
    made = []
    if "repetition_penalty" in settings:
        made.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if "presence_penalty" in settings:
        made.append(
            PresenceFrequencyPenaltyLogitsProcessor(
                settings["presence_penalty"], settings["frequency_penalty"], len(PROMPT)
            )
        )
    if "temperature" in settings:
        made.append(TemperatureLogitsWarper(settings["temperature"]))
    if "top_k" in settings:
        made.append(TopKLogitsWarper(settings["top_k"]))
    if "top_p" in settings:
        made.append(TopPLogitsWarper(settings["top_p"]))
    if "min_p" in settings:
        made.append(MinPLogitsWarper(settings["min_p"]))
    return LogitsProcessorList(made)


def conditionals(model: LlamaForCausalLM, settings: dict, unembedding: np.ndarray | None = None) -> list[np.ndarray]:
    """
    The distribution of the first, second and third token, for each choice of the tokens before it: arrays of shape
    `[VOCABULARY]`, `[VOCABULARY] * 2` and `[VOCABULARY] * 3`.
    """
    tables = []
    for known in range(3):
        prefixes = torch.tensor(list(product(range(VOCABULARY), repeat=known)), dtype=torch.long)
        ids = torch.cat([torch.tensor([PROMPT]).expand(len(prefixes), -1), prefixes], dim=1)
        with torch.no_grad():
            hidden = model.model(ids).last_hidden_state[:, -1]
            weights = model.lm_head.weight if unembedding is None else torch.from_numpy(unembedding)
            probabilities = processors(settings)(ids, hidden @ weights.T).softmax(-1)
        tables.append(probabilities.double().numpy().reshape([VOCABULARY] * (known + 1)))
    return tables


def joint(tables: list[np.ndarray]) -> np.ndarray:
    """The distribution of three tokens, of shape `[VOCABULARY] * 3`."""
    first, second, third = tables
    return first[:, None, None] * second[:, :, None] * third
