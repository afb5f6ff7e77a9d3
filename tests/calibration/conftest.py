"""A tiny decoder with exit heads."""

import shutil

import pytest

from optimum_dynexec.directory.attached_heads import attach_heads
from optimum_dynexec.heads.storage import save_head
from tests.heads.reference import random_head
from tests.tiny_models import TEXT, build_tokenizer


# Of the tiny Llama, which has 3 layers.
BACKBONE = {"hidden_size": 64, "vocab_size": len(build_tokenizer())}


@pytest.fixture(scope="session")
def heads_of_tiny_llama(tmp_path_factory):
    """`{layer: (config, tensors)}` and a directory with their files."""
    directory = tmp_path_factory.mktemp("exit-heads")
    heads = {}
    for layer, kind in ((0, "block"), (1, "norm")):
        config, tensors, _ = random_head(kind, words=60, seed=layer, **{**BACKBONE, "layer": layer})
        save_head(config, tensors, directory / f"{config.name}.safetensors")
        heads[layer] = config, tensors
    return heads, directory


@pytest.fixture
def exported(tiny_export, heads_of_tiny_llama, tmp_path):
    """An export with exit heads, which a test may change."""
    directory = shutil.copytree(tiny_export("llama"), tmp_path / "model")
    attach_heads(directory, heads_of_tiny_llama[1], weight_format="fp32")
    return directory


@pytest.fixture(scope="session")
def prompts(tmp_path_factory):
    """A file with 30 prompts."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    words = " ".join(TEXT).split()
    path.write_text("\n".join(" ".join(words[i : i + 4]) for i in range(30)))
    return path
