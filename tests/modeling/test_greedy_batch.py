"""Several sequences in one call: each gets what it would have got alone."""

import pytest
import torch

from tests.tiny_models import TEXT


NEW_TOKENS = 32
PROMPTS = [TEXT[0], "The fox", TEXT[1] + " " + TEXT[1], "a", TEXT[3]]
MODES = {
    "off": {"speculation": "off"},
    "prompt_lookup": {"prompt_lookup_num_tokens": 4},
    "heuristic": {"prompt_lookup_num_tokens": 4, "num_assistant_tokens_schedule": "heuristic"},
    "draft_model": {"assistant_model": "draft", "num_assistant_tokens": 4, "assistant_confidence_threshold": 0.3},
    "auto": {"speculation": "auto", "assistant_model": "draft"},
}


def resolve(arguments, tiny_model):
    return {name: tiny_model("llama", seed=1) if value == "draft" else value for name, value in arguments.items()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2", "opt"])
def test_left_padded_prompts_equal_each_prompt_alone(name, mode, tiny_model, encode, tiny_tokenizer):
    model, pad = tiny_model(name), tiny_tokenizer.pad_token_id
    arguments = dict(resolve(MODES[mode], tiny_model), max_new_tokens=NEW_TOKENS, do_sample=False)
    inputs = encode(*PROMPTS)
    assert (inputs["attention_mask"] == 0).any()
    together = model.generate(**inputs, **arguments)
    length = inputs["input_ids"].shape[1]
    assert torch.equal(together[:, :length], inputs["input_ids"])
    for row, prompt in enumerate(PROMPTS):
        alone_inputs = encode(prompt)
        alone = model.generate(**alone_inputs, max_new_tokens=NEW_TOKENS, do_sample=False, speculation="off")
        alone = alone[0, alone_inputs["input_ids"].shape[1] :].tolist()
        came = together[row, length:].tolist()
        assert came == alone + [pad] * (len(came) - len(alone))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_padded_batch_equals_transformers(name, tiny_model, torch_model, encode):
    arguments = {**encode(*PROMPTS), "max_new_tokens": NEW_TOKENS, "do_sample": False}
    assert torch.equal(tiny_model(name).generate(**arguments), torch_model(name).generate(**arguments))


@pytest.mark.parametrize("mode", MODES)
def test_greedy_return_sequences_are_all_the_same(mode, tiny_model, encode):
    """transformers allows several only when sampling, but they may share a batch of equal prompts."""
    model = tiny_model("gpt2")
    arguments = dict(resolve(MODES[mode], tiny_model), max_new_tokens=NEW_TOKENS, do_sample=False)
    together = model.generate(**encode(*[PROMPTS[0]] * 3), **arguments)
    alone = model.generate(**encode(PROMPTS[0]), max_new_tokens=NEW_TOKENS, do_sample=False, speculation="off")
    assert torch.equal(together, alone.expand(3, -1))


def test_return_sequences_stand_beside_their_prompt(tiny_model, encode):
    inputs = encode(*PROMPTS[:2])
    out = tiny_model("llama").generate(**inputs, max_new_tokens=4, do_sample=True, num_return_sequences=3, seed=0)
    assert torch.equal(out[:, : inputs["input_ids"].shape[1]], inputs["input_ids"].repeat_interleave(3, dim=0))
    generated = out[:, inputs["input_ids"].shape[1] :]
    assert len({tuple(row) for row in generated.tolist()}) > 3


def test_a_prompt_longer_than_one_forward_pass(tiny_model, torch_model, monkeypatch):
    """Prompts are run in chunks; where the cuts fall changes nothing."""
    from optimum_dynexec.native import _C

    model = tiny_model("llama")
    ids = torch.randint(3, 350, (3, 200), generator=torch.Generator().manual_seed(0))
    arguments = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": 16,
        "do_sample": False,
    }
    expected = torch_model("llama").generate(**arguments)
    for chunk, passes in ((64, 10), (333, 4), (600, 1)):
        loop = _C.DecodeLoop(model.engine.paged_model, chunk)
        monkeypatch.setattr(model.engine, "loop", loop)
        assert torch.equal(model.generate(**arguments, prompt_lookup_num_tokens=3), expected)
        assert model.last_stats.prefill_forwards == passes
