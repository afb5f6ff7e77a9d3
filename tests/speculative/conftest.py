"""What the tests of sampling share."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.patched_export import patch_weights
from tests.speculative import tiny_vocabulary
from tests.speculative.tiny_draft_head import draft_head, save_one_layer, with_draft_head


@pytest.fixture(scope="session")
def tiny_vocabulary_models(tmp_path_factory):
    """The target in torch and on the engine, its drafts (itself, a sharp one, a strange one), and with draft heads."""
    from optimum_dynexec import DynExecModelForCausalLM, export_dynexec

    base = tmp_path_factory.mktemp("tiny-vocabulary")
    torch_model = tiny_vocabulary.save_tiny_vocabulary(base / "hf")
    unembedding = torch_model.lm_head.weight.detach().numpy()
    export_dynexec(base / "hf", base / "same", weight_format="fp32")
    unembeddings = {
        "same": unembedding,
        "sharp": tiny_vocabulary.sharpened(unembedding),
        "random": tiny_vocabulary.shuffled(unembedding),
    }
    for name in ("sharp", "random"):
        patch_weights(base / "same", base / name, unembedding, unembeddings[name])
    models = {name: DynExecModelForCausalLM.from_pretrained(base / name, precision="exact") for name in unembeddings}

    # Draft heads: one that knows all words, and one that knows some, in an order of its own.
    save_one_layer(base / "one-layer", tiny_vocabulary.VOCABULARY, torch_model.config.hidden_size, seed=6)
    export_dynexec(base / "one-layer", base / "head", weight_format="fp32")
    one_layer = DynExecModelForCausalLM.from_pretrained(base / "head", precision="exact")
    mix = np.random.default_rng(0).standard_normal((torch_model.config.hidden_size,) * 2) / 30
    headed = {
        name: with_draft_head(
            DynExecModelForCausalLM.from_pretrained(base / "same", precision="exact"),
            draft_head(one_layer, mix, words),
        )
        for name, words in (("all_words", None), ("few_words", [9, 1, 2, 6, 3, 0]))
    }

    # Exit heads, after the first of its two layers.
    for name, kind, words in (("exit", "block", None), ("exit_of_few_words", "norm", [9, 1, 2, 6, 3, 0])):
        tiny_vocabulary.save_exit_head(base / name, torch_model, kind, words)
        headed[name] = DynExecModelForCausalLM.from_pretrained(base / "same", precision="exact", heads=base / name)
    return SimpleNamespace(
        torch=torch_model, target=models["same"], drafts=models, headed=headed, unembeddings=unembeddings
    )
