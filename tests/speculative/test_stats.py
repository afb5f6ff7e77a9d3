"""The figures of a call, and that they are true."""

from dataclasses import replace

import pytest

from optimum_dynexec.speculative import GenerationStats, ProposerStats
from tests.tiny_models import TEXT


STATS = GenerationStats(
    sequences=2,
    prompt_tokens=30,
    tokens=42,
    target_forwards=13,
    prefill_forwards=1,
    verifications=21,
    drafted_verifications=6,
    accepted_histogram=[1, 0, 5],
    proposers=[ProposerStats("prompt_lookup", 12, 6, 0), ProposerStats("draft_model", 8, 4, 9)],
    total_seconds=2.0,
    prefill_seconds=0.4,
    propose_seconds=0.2,
    run_seconds=1.1,
    decide_seconds=0.1,
    time_to_first_token=0.5,
)
NOTHING = GenerationStats(0, 0, 0, 0, 0, 0, 0, [])


def test_sums_and_rates():
    assert (STATS.proposed, STATS.accepted, STATS.draft_forwards) == (20, 10, 9)
    assert STATS.acceptance_rate == 0.5
    assert STATS.mean_accepted_length == 2.0
    assert STATS.tokens_per_second == 21.0
    assert STATS.decode_tokens_per_second == pytest.approx(40 / 1.6)


def test_no_rate_divides_by_zero():
    rates = [
        NOTHING.acceptance_rate,
        NOTHING.mean_accepted_length,
        NOTHING.tokens_per_second,
        NOTHING.decode_tokens_per_second,
    ]
    assert rates == [0.0] * 4
    # All the time in the prompt, no token after it.
    assert replace(STATS, prefill_seconds=2.0).decode_tokens_per_second == 0.0
    assert replace(STATS, tokens=1).decode_tokens_per_second == 0.0


def test_printed_in_one_block():
    text = str(STATS)
    for part in (
        "42 tokens in 2.000 s: 21.0 tokens/s (25.0 after the prompt), first token after 500 ms",
        "prompt 30 tokens, 2 sequence(s)",
        "13 of the model, 9 of drafts; mean accepted length 2.00 tokens",
        "prompt_lookup: 6 of 12 tokens accepted (50%)",
        "draft_model: 4 of 8 tokens accepted (50%)",
        "accepted per draft (length:times): 0:1  2:5",
        "prefill 0.400 s, propose 0.200 s, run 1.100 s, decide 0.100 s, other 0.200 s",
    ):
        assert part in text
    assert "\n\n" not in text


def test_each_exit_head_is_printed_with_its_layer_and_no_source_that_did_nothing():
    proposers = [
        ProposerStats("prompt_lookup", 0, 0, 0),
        ProposerStats("exit_heads", 8, 6, 8, layer=9),
        ProposerStats("exit_heads", 0, 0, 0, layer=19),
        ProposerStats("draft_head", 0, 0, 3),
    ]
    text = str(replace(STATS, proposers=proposers))
    assert "exit_heads after layer 9: 6 of 8 tokens accepted (75%)" in text
    assert "draft_head: 0 of 0" in text, "it did something"
    assert "prompt_lookup" not in text
    assert "layer 19" not in text


def test_nothing_at_all_can_be_printed():
    assert "0 tokens" in str(NOTHING)


def test_of_a_call_the_figures_add_up(tiny_model, tiny_tokenizer):
    model = tiny_model("gpt2")
    inputs = tiny_tokenizer(TEXT[:3], return_tensors="pt", return_token_type_ids=False, padding=True)
    out = model.generate(
        **inputs,
        max_new_tokens=30,
        do_sample=False,
        presence_penalty=-4.0,
        assistant_model=tiny_model("llama", seed=1),
        prompt_lookup_num_tokens=3,
        assistant_confidence_threshold=0.0,
    )
    stats = model.last_stats
    generated = out[:, inputs["input_ids"].shape[1] :]
    assert stats.sequences == 3
    assert stats.prompt_tokens == int(inputs["attention_mask"].sum())
    assert stats.tokens == int((generated != model.config.pad_token_id).sum())
    assert stats.prefill_forwards == 1
    assert stats.verifications >= stats.drafted_verifications == sum(stats.accepted_histogram)
    assert sum(k * n for k, n in enumerate(stats.accepted_histogram)) == stats.accepted <= stats.proposed
    # Every verification gives one token of the model's own, unless the draft's last token ended the sequence.
    assert stats.tokens - stats.accepted <= stats.verifications <= stats.tokens
    phases = stats.prefill_seconds + stats.propose_seconds + stats.run_seconds + stats.decide_seconds
    assert 0 < phases <= stats.total_seconds
    assert 0 < stats.time_to_first_token <= stats.total_seconds
