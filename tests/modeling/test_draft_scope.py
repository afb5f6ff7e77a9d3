"""Texts of earlier calls are drafts for later ones of the same scope, and change no token."""

import pytest
import torch

from optimum_dynexec.native import _C
from tests.tiny_models import TEXT


NEW_TOKENS = 40
DRAFTS = {"speculation": "suffix", "num_assistant_tokens": 6}


@pytest.fixture
def generate(tiny_model, encode):
    """A function that generates, with a new memory unless it is given one, and gives the statistics too."""

    def get(prompt, memory=None, **arguments):
        model = tiny_model("llama")
        model.speculation_memory = memory or _C.SpeculationMemory()
        arguments = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, **arguments}
        tokens = model.generate(**encode(prompt), **arguments)
        return tokens, model.last_stats

    return get


def test_a_text_that_comes_again_is_drafted(generate):
    memory = _C.SpeculationMemory()
    expected, _ = generate(TEXT[0], speculation="off")
    first, cold = generate(TEXT[0], memory, **DRAFTS)
    again, warm = generate(TEXT[0], memory, **DRAFTS)
    assert torch.equal(first, expected)
    assert torch.equal(again, expected)
    assert warm.acceptance_rate > 0.9
    assert warm.target_forwards < 0.4 * NEW_TOKENS <= cold.target_forwards


def test_a_batch_learns_from_earlier_texts_too(generate, tiny_model, encode):
    memory = _C.SpeculationMemory()
    for prompt in TEXT[:2]:
        generate(prompt, memory, **DRAFTS)
    model = tiny_model("llama")
    model.speculation_memory = memory
    lengths = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    tokens = model.generate(**encode(*TEXT[:2]), **lengths, **DRAFTS)
    assert model.last_stats.acceptance_rate > 0.9
    assert torch.equal(tokens, model.generate(**encode(*TEXT[:2]), **lengths, speculation="off"))


def test_another_scope_learns_nothing(generate):
    memory = _C.SpeculationMemory()
    _, cold = generate(TEXT[0], **DRAFTS)
    generate(TEXT[0], memory, **DRAFTS, draft_scope="a")
    _, other = generate(TEXT[0], memory, **DRAFTS, draft_scope="b")
    _, default = generate(TEXT[0], memory, **DRAFTS)
    _, same = generate(TEXT[0], memory, **DRAFTS, draft_scope="a")
    assert other.accepted_histogram == default.accepted_histogram == cold.accepted_histogram
    assert same.target_forwards < other.target_forwards


def test_texts_can_be_forgotten(generate):
    memory = _C.SpeculationMemory()
    _, cold = generate(TEXT[0], memory, **DRAFTS)
    assert memory.text_tokens > NEW_TOKENS
    memory.forget_texts()
    assert memory.text_tokens == 0
    _, forgotten = generate(TEXT[0], memory, **DRAFTS)
    assert forgotten.accepted_histogram == cold.accepted_histogram


@pytest.mark.parametrize("arguments", [{"speculation": "off"}, {"prompt_lookup_num_tokens": 4}])
def test_only_suffix_drafts_remember(arguments, generate):
    memory = _C.SpeculationMemory()
    generate(TEXT[0], memory, **arguments)
    assert memory.text_tokens == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_sampled_text_does_not_depend_on_what_came_before(seed, generate):
    memory = _C.SpeculationMemory()
    sampling = {"do_sample": True, "temperature": 0.5, "seed": seed}
    expected, _ = generate(TEXT[0], speculation="off", **sampling)
    for _ in range(3):
        tokens, stats = generate(TEXT[0], memory, **DRAFTS, **sampling)
        assert torch.equal(tokens, expected)
    assert stats.acceptance_rate > 0.5


def test_a_scope_is_a_string(generate):
    with pytest.raises(TypeError, match="`draft_scope` must be a string, got 3"):
        generate(TEXT[0], draft_scope=3)
