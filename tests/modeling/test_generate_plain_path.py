"""What the engine does not cover runs as in optimum-intel, with the same result."""

import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.modeling.causal_lm import DynExecGenerateOutput
from tests.tiny_models import TEXT


PLAIN = {
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "sampled_beams": {"num_beams": 2, "do_sample": True},
    "scores": {"output_scores": True, "return_dict_in_generate": True},
    "logits": {"output_logits": True, "return_dict_in_generate": True},
}


def tokens_of(output):
    return output if isinstance(output, torch.Tensor) else output.sequences


def test_the_models_own_configuration_may_speculate(tiny_export, plain_model, encode):
    model = DynExecModelForCausalLM.from_pretrained(tiny_export("llama"), precision="exact")
    model.generation_config.prompt_lookup_num_tokens = 3
    arguments = {**encode(TEXT[0]), "max_new_tokens": 8, "do_sample": False, **PLAIN["scores"]}
    assert torch.equal(tokens_of(model.generate(**arguments)), tokens_of(plain_model("llama").generate(**arguments)))
    assert model.generation_config.prompt_lookup_num_tokens == 3


@pytest.mark.parametrize("name", PLAIN)
def test_same_as_optimum_intel(name, tiny_model, plain_model, encode):
    arguments = {**encode(*TEXT[:2]), "max_new_tokens": 10, "do_sample": False, **PLAIN[name]}
    torch.manual_seed(4)
    expected = plain_model("llama").generate(**arguments)
    after = torch.rand(1)
    torch.manual_seed(4)
    found = tiny_model("llama").generate(**arguments)
    assert torch.equal(tokens_of(found), tokens_of(expected))
    assert torch.equal(torch.rand(1), after), "the generator is not where it would be"
    if arguments["do_sample"]:
        assert torch.equal(tiny_model("llama").generate(**arguments, seed=4), tokens_of(expected))
    assert type(found) is type(expected)
    for field in ("scores", "logits"):
        if getattr(expected, field, None) is not None:
            for ours, theirs in zip(getattr(found, field), getattr(expected, field), strict=True):
                torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("asked", [{"prompt_lookup_num_tokens": 3}, {"speculation": "prompt_lookup"}, {}], ids=str)
def test_speculation_that_was_asked_for_and_cannot_be_had_is_warned_of(asked, tiny_model, plain_model, encode, caplog):
    arguments = {**encode(TEXT[0]), "max_new_tokens": 6, "num_beams": 2, "do_sample": False}
    out = tiny_model("llama").generate(**arguments, **asked)
    assert torch.equal(out, plain_model("llama").generate(**arguments))
    assert ("Generating without speculation: beam search" in caplog.text) == bool(asked)


def test_penalties_apply_on_the_plain_path_too(tiny_model, encode):
    arguments = {**encode(TEXT[1]), "max_new_tokens": 20, "do_sample": False, "presence_penalty": -4.0}
    model = tiny_model("llama")
    plain = model.generate(**arguments, output_scores=True, return_dict_in_generate=True).sequences
    assert torch.equal(plain, model.generate(**arguments))
    assert not torch.equal(plain, model.generate(**{**arguments, "presence_penalty": 0.0}))


def test_a_generation_config_that_speculates_is_left_as_it_is(tiny_model, encode):
    from transformers import GenerationConfig

    config = GenerationConfig(max_new_tokens=5, num_beams=2, prompt_lookup_num_tokens=3, pad_token_id=0)
    tiny_model("llama").generate(**encode(TEXT[0]), generation_config=config)
    assert config.prompt_lookup_num_tokens == 3


def test_a_dict_has_transformers_fields_and_ours(tiny_model, torch_model, encode):
    arguments = {**encode(*TEXT[:2]), "max_new_tokens": 8, "do_sample": False, "return_dict_in_generate": True}
    model = tiny_model("llama")
    output = model.generate(**arguments)
    assert isinstance(output, DynExecGenerateOutput)
    assert torch.equal(output.sequences, torch_model("llama").generate(**arguments).sequences)
    assert output.dynexec is model.last_stats
    assert output["dynexec"].tokens == 16
    assert output[0] is output.sequences


def test_the_engine_and_the_plain_path_can_alternate(tiny_model, encode):
    arguments = {**encode(TEXT[0]), "max_new_tokens": 8, "do_sample": False}
    model = tiny_model("llama")
    scores = {"output_scores": True, "return_dict_in_generate": True}
    runs = [model.generate(**arguments, **(scores if i % 2 else {})) for i in range(4)]
    assert all(torch.equal(tokens_of(run), runs[0]) for run in runs)


def test_sampling_without_a_seed_differs_from_call_to_call_on_either_path(tiny_model, encode):
    model, arguments = tiny_model("llama"), {**encode(TEXT[0]), "max_new_tokens": 16, "do_sample": True}
    for path in ({}, {"output_scores": True, "return_dict_in_generate": True}):
        torch.manual_seed(0)
        a, b = (tokens_of(model.generate(**arguments, **path)) for _ in range(2))
        torch.manual_seed(0)
        again = tokens_of(model.generate(**arguments, **path))
        assert not torch.equal(a, b)
        assert torch.equal(a, again)
