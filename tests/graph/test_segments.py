"""A model cut into segments computes what the whole one computes."""

import numpy as np
import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.native import _C
from tests.tiny_models import LAYERS, TEXT


FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "phi3", "gpt2", "gpt_neox", "opt"]


def load(directory, exit_layers):
    return DynExecModelForCausalLM.from_pretrained(directory, precision="exact", exit_layers=exit_layers)


@pytest.mark.parametrize("exit_layers", [[0], [0, 1]])
@pytest.mark.parametrize("name", FAMILIES)
def test_segments_change_nothing(name, exit_layers, tiny_model, tiny_export, tiny_tokenizer):
    whole, cut = tiny_model(name), load(tiny_export(name), exit_layers)
    assert whole.engine.paged_model.num_segments == 1
    assert cut.engine.paged_model.num_segments == len(exit_layers) + 1
    inputs = tiny_tokenizer(TEXT[0], return_tensors="pt", return_token_type_ids=False)
    ids = inputs["input_ids"][0].tolist()
    logits = [_C.CachedSequence(model.engine.paged_model).forward(ids) for model in (whole, cut)]
    assert logits[0].shape == (len(ids), whole.engine.paged_model.vocab_size)
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-4, atol=1e-4)
    arguments = {**inputs, "max_new_tokens": 32, "do_sample": False}
    expected = whole.generate(**arguments, speculation="off")
    assert torch.equal(cut.generate(**arguments, speculation="off"), expected)
    assert torch.equal(cut.generate(**arguments, prompt_lookup_num_tokens=5), expected)


@pytest.mark.parametrize("exit_layers", [[LAYERS - 1], [-1], [99], ["0"]])
def test_an_exit_layer_that_does_not_exist_is_refused(exit_layers, tiny_export):
    with pytest.raises(ValueError, match="exit_layers"):
        load(tiny_export("llama"), exit_layers)


def test_layers_in_any_order_are_cut_in_the_order_of_execution(tiny_export, tiny_model, tiny_tokenizer):
    model = load(tiny_export("llama"), [1, 0, 1])
    assert model.engine.paged_model.num_segments == 3
    inputs = tiny_tokenizer(TEXT[0], return_tensors="pt", return_token_type_ids=False)
    arguments = {**inputs, "max_new_tokens": 16, "do_sample": False}
    assert torch.equal(model.generate(**arguments), tiny_model("llama").generate(**arguments))


def test_boundaries_that_do_not_make_a_chain_are_refused(tiny_model):
    from optimum_dynexec.graph.paged import prepare
    from optimum_dynexec.graph.segments import cut

    model = tiny_model("llama")
    names = list(model.dynexec_config.hidden_state_names.values())
    prepared = prepare(model.model)
    with pytest.raises(ValueError, match="no node named"):
        cut(prepared, ["elsewhere"])
    with pytest.raises(ValueError, match="order"):
        cut(prepared, [names[1], names[0]])
    # The model itself is left as it was.
    assert len(cut(prepared, names[:2])) == 3
