"""Drafting with a head on the model's own hidden states."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.native import _C
from tests.speculative.tiny_draft_head import draft_head, save_one_layer, with_draft_head
from tests.tiny_models import TEXT, build_tokenizer


HIDDEN = 32
VOCABULARY = len(build_tokenizer())
MODES = {
    "constant": {"num_assistant_tokens": 5},
    "one": {"num_assistant_tokens": 1},
    "heuristic": {"num_assistant_tokens_schedule": "heuristic", "num_assistant_tokens": 3},
    "auto": {},
    "disco": {"num_assistant_tokens_schedule": "disco", "num_assistant_tokens": 6},
    "with_lookup": {"num_assistant_tokens": 4, "prompt_lookup_num_tokens": 4},
}
# What the head is made of: whether the model is its last token alone, how much the hidden states weigh, its words.
HEADS = {
    "perfect": (0.0, 0.0, None),
    "good": (1.0, 0.0, None),
    "middling": (1.0, 0.05, None),
    "poor": (1.0, 2.0, None),
    "few_words": (1.0, 0.0, list(range(VOCABULARY - 1, 20, -2))),
}


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory):
    """`one_layer(attention)`: a fresh decoder of one layer."""
    from optimum_dynexec import export_dynexec

    base = tmp_path_factory.mktemp("one-layer")

    def get(attention):
        directory = base / str(attention)
        if not directory.exists():
            save_one_layer(base / f"hf-{attention}", VOCABULARY, HIDDEN, attention)
            build_tokenizer().save_pretrained(base / f"hf-{attention}")
            export_dynexec(base / f"hf-{attention}", directory, weight_format="fp32")
        return DynExecModelForCausalLM.from_pretrained(directory, precision="exact")

    return get


@pytest.fixture(scope="module")
def headed(one_layer):
    """`headed(name)`: a model with one of `HEADS`."""
    made = {}

    def get(name):
        if name not in made:
            attention, mix, words = HEADS[name]
            model = one_layer(attention)
            noise = np.random.default_rng(0).standard_normal((HIDDEN, HIDDEN)) * mix / HIDDEN**0.5
            head = replace(draft_head(model, noise, words), stop_classifier=(1.0, -0.1, -0.3, 1.0))
            made[name] = with_draft_head(model, head)
        return made[name]

    return get


def encode(*texts):
    return build_tokenizer()(list(texts), return_tensors="pt", return_token_type_ids=False, padding=True)


def both(model, inputs, mode="constant", **arguments):
    """Plain and drafted output of the same call; the cache of neither keeps anything."""
    arguments = {"do_sample": False, "max_new_tokens": 40, **arguments}
    plain = model.generate(**inputs, **arguments, speculation="off")
    drafted = model.generate(**inputs, **arguments, speculation="draft_head", **MODES[mode])
    for paged in (model.engine.paged_model, model.engine.draft_head.paged_model):
        assert paged.free_blocks == paged.num_blocks
    return plain, drafted


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", HEADS)
def test_greedy_output_is_that_of_plain_decoding(name, mode, headed):
    model = headed(name)
    for inputs in (encode(TEXT[0]), encode(TEXT[1], "a", TEXT[3][:20])):
        plain, drafted = both(model, inputs, mode)
        assert torch.equal(plain, drafted)
        stats = model.last_stats
        if mode in ("constant", "one", "heuristic"):
            assert stats.proposed > 0
            assert stats.draft_forwards > 0


def disco(model, classifier, **arguments):
    """Lengths of drafts with this stop classifier."""
    model.engine.draft_head = replace(model.engine.draft_head, stop_classifier=classifier)
    options = {"num_assistant_tokens_schedule": "disco", "num_assistant_tokens": 6, **arguments}
    out = model.generate(**encode(TEXT[0]), max_new_tokens=41, speculation="draft_head", **options)
    stats = model.last_stats
    return out, stats.proposed / stats.drafted_verifications


def test_disco_ends_drafts_by_the_classifier(one_layer):
    model = one_layer(0.0)
    with_draft_head(model, draft_head(model, np.zeros((HIDDEN, HIDDEN))))  # always accepted
    plain = model.generate(**encode(TEXT[0]), max_new_tokens=41, do_sample=False, speculation="off")
    # By position alone, the threshold being 0.4 as for transformers' assistants: a draft ends behind the third token.
    for classifier, length in (((0, 0, 0, 9), 6), ((0, 0, 0, -9), 1), ((0, 0, -1, 1.5), 3)):
        out, found = disco(model, classifier, do_sample=False)
        assert torch.equal(out, plain)
        assert found == pytest.approx(length, abs=0.5)
    _, found = disco(model, (0, 0, -1, 1.5), do_sample=False, assistant_confidence_threshold=0.7)
    assert found == pytest.approx(2, abs=0.5)
    # By what the head says.
    _, by_prob = disco(model, (5, 0, 0, 2), do_sample=False)
    _, by_entropy = disco(model, (0, -3, 0, 2), do_sample=False)
    assert 1 <= min(by_prob, by_entropy) <= max(by_prob, by_entropy) < 6
    _, sampled = disco(model, (0, 0, -1, 1.5), do_sample=True, seed=0)
    assert sampled <= 3


def test_disco_needs_a_classifier(one_layer):
    model = one_layer(0.0)
    ids = torch.tensor([[5, 6]])
    with pytest.raises(ValueError, match="needs a draft head or exit heads"):
        model.generate(ids, prompt_lookup_num_tokens=2, num_assistant_tokens_schedule="disco")
    with_draft_head(model, draft_head(model, np.zeros((HIDDEN, HIDDEN))))
    with pytest.raises(ValueError, match="draft head has none: train it again"):
        model.generate(ids, speculation="draft_head", num_assistant_tokens_schedule="disco")


def test_a_perfect_head_is_always_accepted(headed):
    model = headed("perfect")
    both(model, encode(TEXT[0]))
    stats = model.last_stats
    assert stats.accepted == stats.proposed > 0
    # The first of 40 tokens comes with the prompt, the others in sixes.
    assert stats.verifications == 1 + 7
    assert [proposer.name for proposer in stats.proposers] == ["draft_head"]


def test_heads_differ_as_they_should(headed):
    rates = []
    for name in ("perfect", "good", "middling", "poor"):
        both(headed(name), encode(*TEXT[:3]), max_new_tokens=80)
        rates.append(headed(name).last_stats.acceptance_rate)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0
    assert 0.05 < rates[2] < 0.95


@pytest.mark.parametrize("new_tokens", range(1, 14))
def test_a_text_may_end_anywhere_in_a_draft(new_tokens, headed):
    plain, drafted = both(headed("perfect"), encode(TEXT[0]), max_new_tokens=new_tokens)
    assert torch.equal(plain, drafted)


@pytest.mark.parametrize("place", range(1, 9))
def test_eos_anywhere_in_a_draft(place, headed):
    for name in ("perfect", "good"):
        model, inputs = headed(name), encode(TEXT[2])
        free = model.generate(**inputs, do_sample=False, max_new_tokens=20, speculation="off")
        eos = int(free[0, inputs["input_ids"].shape[1] + place])
        plain, drafted = both(model, inputs, max_new_tokens=20, eos_token_id=eos)
        assert torch.equal(plain, drafted)
        assert int(drafted[0, -1]) == eos


def test_stop_strings_in_a_draft(headed):
    model, inputs = headed("perfect"), encode(TEXT[0])
    free = model.generate(**inputs, do_sample=False, max_new_tokens=20, speculation="off")
    generated = free[0, inputs["input_ids"].shape[1] :]
    for place in range(2, 10):
        stop = build_tokenizer().decode(generated[place : place + 1])
        plain, drafted = both(
            model, inputs, max_new_tokens=20, stop_strings=[stop], tokenizer=build_tokenizer(), eos_token_id=-1
        )
        assert torch.equal(plain, drafted)


@pytest.mark.parametrize("name", ["good", "few_words"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"repetition_penalty": 1.3},
        {"presence_penalty": 0.5, "frequency_penalty": 0.2},
        {"min_new_tokens": 30, "eos_token_id": 40},
        {"no_repeat_ngram_size": 3},
    ],
    ids=lambda arguments: "-".join(arguments),
)
def test_logits_processors(name, arguments, headed):
    """The head's own tokens go through the processors that the engine has, and only through these."""
    plain, drafted = both(headed(name), encode(TEXT[0]), **arguments)
    assert torch.equal(plain, drafted)
    assert headed(name).last_stats.proposed > 0


def test_processors_that_leave_the_head_nothing_to_say(one_layer):
    model = one_layer(1.0)
    with_draft_head(model, draft_head(model, np.zeros((HIDDEN, HIDDEN)), [40]))
    plain, drafted = both(model, encode(TEXT[0]), min_new_tokens=40, eos_token_id=40)
    assert torch.equal(plain, drafted)
    assert model.last_stats.proposed == 0
    assert model.last_stats.draft_forwards > 0
    inputs = encode(TEXT[0])
    out = model.generate(
        **inputs,
        do_sample=True,
        max_new_tokens=10,
        min_new_tokens=10,
        eos_token_id=40,
        speculation="draft_head",
        num_assistant_tokens=3,
    )
    assert out.shape[1] == inputs["input_ids"].shape[1] + 10


def test_a_prompt_of_one_token(headed):
    inputs = {"input_ids": torch.tensor([[5]]), "attention_mask": torch.tensor([[1]])}
    for name in HEADS:
        plain, drafted = both(headed(name), inputs)
        assert torch.equal(plain, drafted)


def test_a_prompt_of_many_passes(headed, monkeypatch):
    """Prompts and what is left of them for the head are run in chunks; where the cuts fall changes nothing."""
    model = headed("good")
    ids = torch.randint(3, VOCABULARY, (3, 150), generator=torch.Generator().manual_seed(0))
    ids[1:, :40] = 0
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    for chunk in (7, 64, 1000):
        monkeypatch.setattr(model.engine, "loop", _C.DecodeLoop(model.engine.paged_model, chunk))
        plain, drafted = both(model, inputs)
        assert torch.equal(plain, drafted)
        assert model.last_stats.accepted > 0


# One step: how many tokens come, and how many are proposed after them.
STEPS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6)), min_size=1, max_size=8)


@pytest.mark.parametrize("name", ["middling", "few_words"])
@settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, chunk=st.sampled_from([1, 3, 1024]), seed=st.integers(0, 2**16))
def test_any_history_leaves_the_predictions_of_a_fresh_run(name, headed, steps, chunk, seed):
    """Whatever was drafted before, and thrown away: drafts are those of rows computed one after the other at once."""
    engine = headed(name).engine
    head, target = engine.draft_head, engine.paged_model
    rng = np.random.default_rng(seed)
    params = _C.LogitsParams()
    params.do_sample = True
    drafted = _C.DraftedSequence(_C.Head(head.paged_model, head.token_ids), target, params, seed, chunk)
    tokens, hidden = [], np.zeros((0, HIDDEN), np.float32)
    for count, proposed in steps:
        count += not tokens
        ids = rng.integers(0, VOCABULARY, count).tolist()
        new = rng.standard_normal((len(tokens) + count - 1 - len(hidden), HIDDEN)).astype(np.float32)
        tokens, hidden = tokens + ids, np.concatenate([hidden, new])
        drafted.append(ids, new)
        draft, probabilities = drafted.propose(proposed)
        assert len(draft) == len(probabilities) == proposed
        np.testing.assert_allclose(
            probabilities, expected_probabilities(head, tokens, hidden, draft), rtol=1e-4, atol=1e-4
        )


def expected_probabilities(head, tokens, hidden, draft):
    """Probabilities of each token of `draft`: a new cache, the rows of the target's hidden states, then the head's."""
    fresh, rows = _C.CachedSequence(head.paged_model), []
    logits = fresh.forward(tokens[1:], hidden)[-1]
    for token in draft:
        row = np.zeros(VOCABULARY)
        row[head.token_ids] = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        rows.append(row)
        logits = fresh.forward([token], fresh.hidden_states[-1:])[-1]
    return np.array(rows).reshape(len(draft), VOCABULARY)


def test_other_hidden_states_give_other_predictions(headed):
    """The comparison above can fail."""
    head = headed("middling").engine.draft_head
    hidden = np.random.default_rng(0).standard_normal((4, HIDDEN)).astype(np.float32)
    rows = [expected_probabilities(head, [3, 4, 5, 6, 7], h, [8, 9]) for h in (hidden, hidden[::-1])]
    assert np.abs(rows[0] - rows[1]).max() > 0.01


def test_hidden_states_have_to_be_as_many_as_tokens(headed):
    engine = headed("good").engine
    head = engine.draft_head
    drafted = _C.DraftedSequence(_C.Head(head.paged_model, head.token_ids), engine.paged_model, _C.LogitsParams())
    with pytest.raises(ValueError, match=r"shape \(2, 32\)"):
        drafted.append([3, 4, 5], np.zeros((3, HIDDEN), np.float32))
    with pytest.raises(ValueError, match="needs 32 hidden states"):
        _C.CachedSequence(head.paged_model).forward([3, 4])


def test_heads_that_do_not_fit_are_refused(headed, one_layer, tiny_model):
    model = headed("good")
    paged = model.engine.draft_head.paged_model
    with pytest.raises(ValueError, match="3 token ids"):
        _C.Head(paged, [1, 2, 3])
    with pytest.raises(ValueError, match="same token"):
        _C.Head(paged, [0] * VOCABULARY)
    with pytest.raises(ValueError, match="takes no hidden states"):
        _C.Head(model.engine.paged_model, list(range(VOCABULARY)))
    with pytest.raises(ValueError, match="token ids must be from 0, got -1"):
        _C.Head(paged, list(range(-1, VOCABULARY - 1)))
    with pytest.raises(ValueError, match="has token ids from"):
        _C.DraftedSequence(_C.Head(paged, list(range(1, VOCABULARY + 1))), model.engine.paged_model, _C.LogitsParams())
    head = _C.Head(paged, list(range(VOCABULARY)))
    with pytest.raises(ValueError, match="without its hidden states"):
        _C.DraftedSequence(head, tiny_model("llama").engine.paged_model, _C.LogitsParams())


def test_a_head_that_gives_no_numbers_is_named(one_layer):
    model = one_layer(1.0)
    with_draft_head(model, draft_head(model, np.full((HIDDEN, HIDDEN), np.nan)))
    with pytest.raises(RuntimeError, match="draft model or head gave NaN"):
        both(model, encode(TEXT[0]))


def test_a_model_without_a_head_says_how_to_get_one(one_layer):
    with pytest.raises(ValueError, match="train-heads"):
        one_layer(1.0).generate(torch.tensor([[5, 6]]), speculation="draft_head")


def test_costs_of_a_head_are_measured_at_load(headed):
    paged = headed("good").engine.draft_head.paged_model
    paged.warm_up()
    paged.profile()
    assert [rows for rows, _ in paged.costs] == [1, 2, 4, 6, 8, 12, 16, 24, 32]
    assert paged.hidden_size == paged.input_hidden_size == HIDDEN
