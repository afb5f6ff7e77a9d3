"""A tiny decoder with two exit heads and a draft head, in torch and on the engine."""

from types import SimpleNamespace

import pytest

from tests.heads.reference import random_head
from tests.speculative.tiny_exits import HIDDEN, VOCABULARY, load_with_heads, save_exit_head, save_model
from tests.tiny_models import build_tokenizer


@pytest.fixture(scope="session")
def decoders(tmp_path_factory):
    """`torch`, `engine`: the same model with the same heads; `draft`: an assistant in torch, `hf` the plain model."""
    from optimum_dynexec import DynExecModelForCausalLM, export_dynexec
    from optimum_dynexec.heads.storage import save_head
    from optimum_dynexec.torch_backend import TorchDynExecModelForCausalLM

    base = tmp_path_factory.mktemp("torch-backend")
    model = save_model(base / "hf", late=0.3)
    build_tokenizer().save_pretrained(base / "hf")
    for layer, words in ((0, range(VOCABULARY - 1, 100, -1)), (2, None)):
        save_exit_head(base / "heads", model, "block", layer, words, noise=0.3)
    config, tensors, _ = random_head("draft", words=200, hidden_size=HIDDEN, vocab_size=VOCABULARY)
    save_head(config, tensors, base / "heads" / "draft_head.safetensors")
    export_dynexec(base / "hf", base / "ov", weight_format="fp32")
    # The same model but for a little noise: mostly it agrees.
    noisy = save_model(base / "draft", late=0.2)
    build_tokenizer().save_pretrained(base / "draft")
    export_dynexec(base / "draft", base / "draft-ov", weight_format="fp32")
    return SimpleNamespace(
        base=base,
        hf=model,
        torch=TorchDynExecModelForCausalLM.from_pretrained(base / "hf", heads=base / "heads"),
        engine=load_with_heads(base / "ov", base / "heads", exit_layers=[0, 2]),
        assistants={
            "torch": noisy,
            "engine": DynExecModelForCausalLM.from_pretrained(base / "draft-ov", precision="exact"),
        },
        draft=(config, tensors),
    )
