"""With compressed weights, the bits of a token's logits depend on its own text alone, whatever runs beside it."""

import logging
import os

import numpy as np
import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.native import _C
from optimum_dynexec.runtime import row_limits
from optimum_dynexec.runtime.row_limits import find_row_limits


EXPORTS = [("llama", "int8"), ("qwen2", "int4"), ("gpt_neox", "int8"), ("opt", "int4")]
NAMES = ["-".join(export) for export in EXPORTS]
LENGTH = 180
# More of them take minutes: a thorough run sets the variables to 1000 and 200.
DIVISIONS = int(os.environ.get("DYNEXEC_TEST_DIVISIONS", "40"))
BATCHES = int(os.environ.get("DYNEXEC_TEST_BATCHES", "4"))


@pytest.fixture(scope="module")
def load(tiny_export):
    """`load(name, weight_format, **options)`: a model that is exact on this machine, or the test is skipped."""
    loaded = {}

    def get(*export: str, **options) -> DynExecModelForCausalLM:
        key = (*export, str(options))
        if key not in loaded:
            loaded[key] = DynExecModelForCausalLM.from_pretrained(tiny_export(*export), precision="exact", **options)
        if loaded[key].precision != "exact":
            pytest.skip("this processor has no row-invariant kernels for compressed weights")
        return loaded[key]

    return get


def divided(model: _C.PagedModel, tokens: np.ndarray, sizes: list[int]) -> np.ndarray:
    sequence, rows, begin = _C.CachedSequence(model), [], 0
    for size in sizes:
        rows.append(sequence.forward(tokens[begin : begin + size].tolist()))
        begin += size
    return np.concatenate(rows)


def random_sizes(generator: np.random.Generator, length: int) -> list[int]:
    largest, sizes = int(generator.choice([2, 5, 20, 90, length])), []
    while sum(sizes) < length:
        sizes.append(min(int(generator.integers(1, largest + 1)), length - sum(sizes)))
    return sizes


@pytest.mark.parametrize("export", EXPORTS, ids=NAMES)
def test_logits_are_the_same_bits_however_a_text_is_divided(load, export):
    paged = load(*export).engine.paged_model
    generator = np.random.default_rng(1)
    tokens = generator.integers(0, paged.vocab_size, LENGTH)
    whole = divided(paged, tokens, [LENGTH])
    for _ in range(DIVISIONS):
        sizes = random_sizes(generator, LENGTH)
        assert np.array_equal(divided(paged, tokens, sizes), whole), sizes


def test_a_single_row_gives_other_bits(tiny_export):
    # Without this, the test above would prove nothing. Another model, because its limits are removed.
    model = DynExecModelForCausalLM.from_pretrained(tiny_export("llama", "int8"), precision="exact")
    if model.precision != "exact":
        pytest.skip("this processor has no row-invariant kernels for compressed weights")
    paged = model.engine.paged_model
    tokens = np.random.default_rng(2).integers(0, paged.vocab_size, LENGTH)
    whole = divided(paged, tokens, [LENGTH])
    paged.row_limits = _C.RowLimits()
    assert not np.array_equal(divided(paged, tokens, [1] * LENGTH), whole)


@pytest.fixture(scope="module")
def batch():
    """16 prompts of 1 to 99 tokens, padded on the left, and their mask."""
    generator = np.random.default_rng(3)
    ids, mask = torch.zeros((16, 100), dtype=torch.long), torch.zeros((16, 100), dtype=torch.long)
    for row, length in enumerate(generator.integers(1, 100, 16)):
        ids[row, -length:] = torch.tensor(generator.integers(3, 300, length))
        mask[row, -length:] = 1
    return ids, mask


SETTINGS = {"max_new_tokens": 12, "min_new_tokens": 12}


@pytest.mark.parametrize("export", EXPORTS, ids=NAMES)
def test_a_batch_gives_the_text_that_each_prompt_gives_alone(load, batch, export):
    # 16 sequences with drafts have more rows than fit into a pass on some processors.
    model, (ids, mask) = load(*export), batch
    together = model.generate(ids, attention_mask=mask, **SETTINGS)
    for row in range(0, 16, 5):
        for alone in ({"speculation": "off"}, {"prompt_lookup_num_tokens": 3}, {}):
            found = model.generate(ids[row : row + 1], attention_mask=mask[row : row + 1], **SETTINGS, **alone)
            assert torch.equal(found[0], together[row]), (row, alone)


@pytest.mark.parametrize("export", EXPORTS, ids=NAMES)
def test_mixed_batches_give_the_text_of_plain_decoding(load, export):
    # Sequences leave a batch after different numbers of tokens, and long prompts run in parts beside short ones.
    model, generator = load(*export), np.random.default_rng(6)
    prompts = [torch.tensor(generator.integers(3, 300, n)) for n in generator.integers(1, 200, 24)]
    expected = [
        model.generate(prompt[None], max_new_tokens=16, speculation="off")[0, len(prompt) :] for prompt in prompts
    ]
    pad = model.generation_config.pad_token_id
    for _ in range(BATCHES):
        chosen = generator.choice(len(prompts), int(generator.integers(2, 17)))
        ids = torch.nn.utils.rnn.pad_sequence([prompts[i] for i in chosen], True, pad, "left")
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(prompts[i]) for i in chosen], True, 0, "left")
        lookahead = int(generator.integers(0, 9))
        how = {"prompt_lookup_num_tokens": lookahead} if lookahead else {"speculation": "auto"}
        found = model.generate(ids, attention_mask=mask, max_new_tokens=16, **how)[:, ids.shape[1] :]
        for row, index in enumerate(chosen):
            length = len(expected[index])
            assert torch.equal(found[row, :length], expected[index]), (how, row)
            assert (found[row, length:] == pad).all()


def test_a_sampled_text_does_not_depend_on_the_batch(load, batch):
    # The random numbers of a row depend on its place, so that only the first one is the same alone.
    model, (ids, mask) = load("llama", "int8"), batch
    settings = {**SETTINGS, "do_sample": True, "speculation": "off"}
    for seed in range(8):
        together = model.generate(ids, attention_mask=mask, seed=seed, **settings)
        assert torch.equal(model.generate(ids[:1], attention_mask=mask[:1], seed=seed, **settings)[0], together[0])


def test_the_block_for_added_rows_is_none_that_a_sequence_uses(load):
    model = load("llama", "int8")
    model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False)
    limits = model.engine.paged_model.row_limits
    assert max(limits.attention, limits.per_sequence) > 1
    assert model.engine.loop.stats.used_blocks == 0


@pytest.mark.parametrize("layers", [[0, 1], []], ids=["cut", "whole"])
def test_cut_models_keep_the_bits(load, layers):
    paged = load("llama", "int8", exit_layers=layers).engine.paged_model
    whole = load("llama", "int8").engine.paged_model
    tokens = np.random.default_rng(4).integers(0, paged.vocab_size, LENGTH)
    sizes = random_sizes(np.random.default_rng(5), LENGTH)
    assert np.array_equal(divided(paged, tokens, sizes), divided(whole, tokens, [LENGTH]))


def test_what_was_found_is_remembered(tiny_export, monkeypatch):
    first = DynExecModelForCausalLM.from_pretrained(tiny_export("llama", "int8"), precision="exact")
    monkeypatch.setattr(row_limits, "find_row_limits", lambda *_: pytest.fail("it was found again"))
    again = DynExecModelForCausalLM.from_pretrained(tiny_export("llama", "int8"), precision="exact")
    assert again.precision == first.precision
    found, expected = again.engine.paged_model.row_limits, first.engine.paged_model.row_limits
    for name in ("per_sequence", "least", "most", "attention"):
        assert getattr(found, name) == getattr(expected, name)


def test_without_proof_the_model_runs_in_float32(tiny_export, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("DYNEXEC_CACHE", str(tmp_path))
    monkeypatch.setattr(row_limits, "is_row_invariant", lambda *_, **__: False)
    with caplog.at_level(logging.WARNING):
        model = DynExecModelForCausalLM.from_pretrained(tiny_export("llama", "int8"))
    assert [record.message for record in caplog.records if "precision='f32'" in record.message]
    assert model.precision == "f32"
    assert model.ov_config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == "0"
    assert model.engine.paged_model.row_limits.per_sequence == 1
    model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=2)
    assert model.last_stats.precision == "f32"


@pytest.mark.parametrize(("seconds", "expected"), [(1.05, "exact"), (1.5, "f32")])
def test_auto_takes_the_same_bits_where_they_are_cheap(tiny_export, load, monkeypatch, tmp_path, seconds, expected):
    load("llama", "int8")  # exact on this processor
    monkeypatch.setenv("DYNEXEC_CACHE", str(tmp_path))
    monkeypatch.setattr(row_limits, "slowdown", lambda model: seconds)
    made = [DynExecModelForCausalLM.from_pretrained(tiny_export("llama", "int8")) for _ in range(2)]
    assert [model.precision for model in made] == [expected] * 2
    # Who asks for it gets it at any cost.
    assert (
        DynExecModelForCausalLM.from_pretrained(tiny_export("llama", "int8"), precision="exact").precision == "exact"
    )


def test_the_proof_refuses_arithmetic_that_depends_on_other_rows(tiny_export):
    # A KV cache in 8 bits quantizes in groups of tokens.
    model = DynExecModelForCausalLM.from_pretrained(
        tiny_export("llama", "int8"), precision="fast", ov_config={"KV_CACHE_PRECISION": "u8"}
    )
    assert model.precision == "fast"
    assert find_row_limits(model.engine.paged_model) is None


@pytest.mark.parametrize(
    ("export", "arguments", "expected"),
    [
        (("llama",), {}, "fast"),
        (("llama",), {"precision": "auto"}, "fast"),
        (("llama",), {"precision": "exact"}, "exact"),
        (("llama", "int8"), {"precision": "f32"}, "f32"),
        (("llama", "int8"), {"precision": "fast"}, "fast"),
        # The user's own properties come before a default.
        (("llama", "int8"), {"ov_config": {"INFERENCE_PRECISION_HINT": "bf16"}}, "fast"),
    ],
)
def test_what_a_precision_comes_to(tiny_export, export, arguments, expected):
    model = DynExecModelForCausalLM.from_pretrained(tiny_export(*export), **arguments)
    assert model.precision == expected
    assert model.engine.paged_model.row_limits.per_sequence == 1


def test_properties_that_contradict_a_precision_are_refused(tiny_export):
    with pytest.raises(ValueError, match="KV_CACHE_PRECISION"):
        DynExecModelForCausalLM.from_pretrained(
            tiny_export("llama", "int8"), precision="exact", ov_config={"KV_CACHE_PRECISION": "u8"}
        )
