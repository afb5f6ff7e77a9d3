"""The KV cache grows with need, stops at its limit with an error in words, and gets every block back."""

import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM


def prompt(length):
    return torch.randint(3, 350, (1, length), generator=torch.Generator().manual_seed(length))


def load(directory, **options):
    return DynExecModelForCausalLM.from_pretrained(directory, precision="exact", **options)


def test_a_growing_cache_keeps_what_it_holds(tiny_export, tiny_model):
    """Several sequences outgrow the cache in the middle of a call."""
    model = load(tiny_export("llama"))
    blocks = model.engine.paged_model.num_blocks
    arguments = {"max_new_tokens": 100, "do_sample": False, "min_new_tokens": 100}
    prompts = prompt(20).expand(6, -1)
    out = model.generate(prompts, **arguments)
    paged = model.engine.paged_model
    assert paged.num_blocks > blocks
    assert paged.free_blocks == paged.num_blocks
    assert paged.cache_bytes == paged.num_blocks * paged.block_size * 2 * 3 * 2 * 16 * 4
    assert torch.equal(out, tiny_model("llama").generate(prompt(20), **arguments, speculation="off").expand(6, -1))
    model.generate(prompts, **arguments)
    assert paged.num_blocks == model.engine.paged_model.num_blocks


@pytest.mark.parametrize(
    ("rows", "length", "new_tokens"),
    [(1, 100, 2), (1, 10, 120), (3, 20, 60)],
    ids=["a long prompt", "a long output", "a large batch"],
)
@pytest.mark.parametrize("mode", [{"speculation": "off"}, {"prompt_lookup_num_tokens": 5}], ids=["off", "lookup"])
def test_a_full_cache_is_an_error_and_leaves_the_engine_usable(rows, length, new_tokens, mode, tiny_export):
    model = load(tiny_export("llama"), max_cache_tokens=64)
    paged = model.engine.paged_model
    expected = model.generate(prompt(10), max_new_tokens=20, do_sample=False)
    ids = prompt(length).expand(rows, -1)
    with pytest.raises(ValueError, match=r"KV cache is full: .* max_cache_tokens is 64"):
        model.generate(ids, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False, **mode)
    assert paged.free_blocks == paged.num_blocks <= 64 // paged.block_size
    assert torch.equal(model.generate(prompt(10), max_new_tokens=20, do_sample=False), expected)


@pytest.mark.parametrize("limit", [1, 32, 33])
def test_a_small_cache_can_be_filled_to_its_last_block(limit, tiny_export):
    """The limit counts whole blocks. Loading profiles the model, which has to fit too."""
    model = load(tiny_export("llama"), max_cache_tokens=limit)
    paged = model.engine.paged_model
    room = -(-limit // paged.block_size) * paged.block_size
    # The last token is never an input, so it needs no place.
    out = model.generate(prompt(room - 4), max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert out.shape[1] == room + 1
    with pytest.raises(ValueError, match="KV cache is full"):
        model.generate(prompt(room - 4), max_new_tokens=6, min_new_tokens=6, do_sample=False, speculation="off")
    assert paged.free_blocks == paged.num_blocks


def test_a_draft_model_with_a_full_cache_drafts_no_more(tiny_export, tiny_model):
    target, draft = tiny_model("llama"), load(tiny_export("llama", seed=1), max_cache_tokens=32)
    arguments = {"max_new_tokens": 60, "min_new_tokens": 60, "do_sample": False, "assistant_model": draft}
    arguments["num_assistant_tokens"] = 3
    expected = target.generate(prompt(20), **{**arguments, "assistant_model": None}, speculation="off")
    assert torch.equal(target.generate(prompt(20), **arguments), expected)
    assert 0 < target.last_stats.proposed < 60
    for model in (target, draft):
        paged = model.engine.paged_model
        assert paged.free_blocks == paged.num_blocks


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_has_to_be_positive(limit, tiny_export):
    with pytest.raises(ValueError, match="max_cache_tokens"):
        load(tiny_export("llama"), max_cache_tokens=limit)
