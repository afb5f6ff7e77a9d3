"""What the tests of sampling share."""

from types import SimpleNamespace

import pytest

from tests.patched_export import patch_weights
from tests.speculative import tiny_vocabulary


@pytest.fixture(scope="session")
def tiny_vocabulary_models(tmp_path_factory):
    """The target in torch and on the engine, and its drafts: itself, a sharper one, a strange one."""
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
    return SimpleNamespace(torch=torch_model, target=models["same"], drafts=models, unembeddings=unembeddings)
