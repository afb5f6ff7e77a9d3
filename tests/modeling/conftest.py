"""What the tests of `generate` share."""

from collections.abc import Callable

import pytest
import torch

from tests.tiny_models import TEXT


@pytest.fixture(scope="session")
def encode(tiny_tokenizer) -> Callable[..., dict[str, torch.Tensor]]:
    """`encode(*texts)`: `input_ids` and `attention_mask`, padded on the left; of the first text by default."""

    def get(*texts: str) -> dict[str, torch.Tensor]:
        return dict(
            tiny_tokenizer(list(texts or TEXT[:1]), return_tensors="pt", return_token_type_ids=False, padding=True)
        )

    return get


@pytest.fixture(scope="session")
def torch_model(tiny_hf) -> Callable[..., torch.nn.Module]:
    """`torch_model(name, **options)`: the model of `tiny_hf` in transformers, which the engine has to agree with."""
    from transformers import AutoModelForCausalLM

    loaded = {}

    def get(name: str, **options):
        directory = tiny_hf(name, **options)
        if directory not in loaded:
            loaded[directory] = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        return loaded[directory]

    return get


@pytest.fixture(scope="session")
def plain_model(tiny_export, exact_ov_config) -> Callable[..., torch.nn.Module]:
    """`plain_model(name)`: the same export in optimum-intel's own class."""
    from optimum.intel import OVModelForCausalLM

    loaded = {}

    def get(name: str):
        if name not in loaded:
            loaded[name] = OVModelForCausalLM.from_pretrained(tiny_export(name), ov_config=exact_ov_config)
        return loaded[name]

    return get
