"""The decode loop's logits processors compute what transformers' compute."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LogitsProcessorList
from transformers.generation import logits_process as hf

from optimum_dynexec.modeling.logits_processors import PresenceFrequencyPenaltyLogitsProcessor, native_params
from optimum_dynexec.native import _C


PENALTIES = st.floats(-2, 2, allow_nan=False, width=32)
CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "vocab": st.sampled_from([1, 2, 7, 64, 65, 350, 2053]),
        "scale": st.sampled_from([0.1, 1.0, 5.0, 30.0]),
        "prompt": st.lists(st.integers(0, 2052), min_size=1, max_size=8),
        "generated": st.lists(st.integers(0, 2052), max_size=8),
    },
    optional={
        "repetition_penalty": st.floats(0.25, 4, width=32),
        "presence_penalty": PENALTIES,
        "frequency_penalty": PENALTIES,
        "min_length": st.integers(1, 20),
        "min_new_tokens": st.integers(1, 12),
        "temperature": st.floats(0.0625, 8, width=32),
        "top_k": st.integers(1, 400),
        "top_p": st.floats(0.03125, 0.96875, width=32),
        "min_p": st.floats(0.00390625, 0.96875, width=32),
    },
)


def build(case):
    """The processors that `generate` would list for these settings, in its order."""
    made, length = [], len(case["prompt"])
    eos = [token for token in (0, 3) if token < case["vocab"]]
    if "repetition_penalty" in case:
        made.append(hf.RepetitionPenaltyLogitsProcessor(case["repetition_penalty"]))
    if "min_length" in case:
        made.append(hf.MinLengthLogitsProcessor(case["min_length"], eos))
    if "min_new_tokens" in case:
        made.append(hf.MinNewTokensLengthLogitsProcessor(length, case["min_new_tokens"], eos))
    if "presence_penalty" in case or "frequency_penalty" in case:
        presence, frequency = case.get("presence_penalty", 0.0), case.get("frequency_penalty", 0.0)
        made.append(PresenceFrequencyPenaltyLogitsProcessor(presence, frequency, length))
    if "temperature" in case:
        made.append(hf.TemperatureLogitsWarper(case["temperature"]))
    if "top_k" in case:
        made.append(hf.TopKLogitsWarper(case["top_k"]))
    if "top_p" in case:
        made.append(hf.TopPLogitsWarper(case["top_p"]))
    if "min_p" in case:
        made.append(hf.MinPLogitsWarper(case["min_p"]))
    return LogitsProcessorList(made)


def at_the_threshold(case, before):
    """Tokens that rounding alone keeps or removes: at the mass of top-p, or with the probability of min-p."""
    found = np.zeros(len(before), bool)
    probabilities = before.double().softmax(-1).numpy()
    if "top_p" in case:
        order = np.argsort(-probabilities, kind="stable")
        mass_before = np.concatenate([[0.0], np.cumsum(probabilities[order])[:-1]])
        found[order[np.abs(mass_before - case["top_p"]) < 1e-5]] = True
    if "min_p" in case:
        found |= np.abs(probabilities / probabilities.max() / case["min_p"] - 1) < 1e-4
    return found


@settings(max_examples=400, deadline=None, derandomize=True)
@given(case=CASES)
def test_native_processors_equal_those_of_transformers(case):
    vocab = case["vocab"]
    prompt, generated = ([token % vocab for token in case[name]] for name in ("prompt", "generated"))
    case = {**case, "prompt": prompt, "generated": generated}
    logits = np.random.default_rng(case["seed"]).normal(0, case["scale"], vocab).astype(np.float32)
    processors, ids = build(case), torch.tensor([prompt + generated])
    params = native_params(processors, True, len(prompt))
    assert params is not None
    expected = processors(ids, torch.from_numpy(logits.copy())[None])[0]
    if (expected == -np.inf).all():
        return  # nothing is left to choose from: an error elsewhere
    without_cuts = LogitsProcessorList(
        p for p in processors if not isinstance(p, hf.TopPLogitsWarper | hf.MinPLogitsWarper)
    )
    before = without_cuts(ids, torch.from_numpy(logits.copy())[None])[0]
    sure = ~at_the_threshold(case, before)
    found = _C.process_logits(logits, params, prompt, generated)
    np.testing.assert_array_equal(np.isneginf(found)[sure], np.isneginf(expected.numpy())[sure])
    both = sure & ~np.isneginf(found)
    np.testing.assert_allclose(found[both], expected.numpy()[both], rtol=1e-5, atol=1e-5)
    assert sure.mean() > 0.9 or vocab < 64


@settings(max_examples=100, deadline=None, derandomize=True)
@given(case=CASES)
def test_greedy_decoding_applies_penalties_and_no_warper(case):
    vocab = case["vocab"]
    case = {**case, **{name: [token % vocab for token in case[name]] for name in ("prompt", "generated")}}
    penalties = {name: value for name, value in case.items() if name not in ("temperature", "top_k", "top_p", "min_p")}
    logits = np.random.default_rng(case["seed"]).normal(0, case["scale"], vocab).astype(np.float32)
    processors = build(penalties)
    expected = processors(torch.tensor([case["prompt"] + case["generated"]]), torch.from_numpy(logits.copy())[None])[0]
    found = _C.process_logits(
        logits, native_params(processors, False, len(case["prompt"])), case["prompt"], case["generated"]
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)
    warped = {name: case[name] for name in ("temperature", "top_k", "top_p", "min_p") if name in case}
    if warped:
        assert native_params(build({**penalties, **warped}), False, len(case["prompt"])) is None


def test_presence_and_frequency_by_hand():
    processor = PresenceFrequencyPenaltyLogitsProcessor(0.5, 0.25, 2)
    scores = processor(torch.tensor([[1, 2, 3, 3, 4]]), torch.zeros(1, 6))
    assert scores.tolist() == [[0.0, 0.0, 0.0, -1.0, -0.75, 0.0]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None])
@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_penalties_have_to_be_numbers(name, value):
    values = {"presence_penalty": 0.0, "frequency_penalty": 0.0, name: value}
    with pytest.raises(ValueError, match=name):
        PresenceFrequencyPenaltyLogitsProcessor(**values, prompt_length=1)


class Subclass(hf.TopKLogitsWarper):
    def __call__(self, input_ids, scores):
        return scores


@pytest.mark.parametrize(
    "processors",
    [
        [hf.TopPLogitsWarper(0.5), hf.TopKLogitsWarper(5)],
        [hf.TemperatureLogitsWarper(0.5), hf.TemperatureLogitsWarper(0.5)],
        [hf.TopKLogitsWarper(5), hf.RepetitionPenaltyLogitsProcessor(1.5)],
        [hf.TopKLogitsWarper(5, filter_value=-1.0)],
        [hf.TopPLogitsWarper(0.5, min_tokens_to_keep=2)],
        [hf.RepetitionPenaltyLogitsProcessor(1.5, prompt_ignore_length=2)],
        [hf.MinNewTokensLengthLogitsProcessor(3, 5, 1)],
        [hf.NoRepeatNGramLogitsProcessor(2)],
        [hf.TypicalLogitsWarper(0.5)],
        [Subclass(5)],
    ],
    ids=lambda processors: "-".join(type(p).__name__ for p in processors),
)
def test_what_is_not_covered_is_left_to_transformers(processors):
    """Another order, other options, other kinds, and subclasses, which may do anything."""
    assert native_params(processors, True, 4) is None


def test_the_covered_order_is_covered():
    made = [
        hf.RepetitionPenaltyLogitsProcessor(1.5),
        hf.MinLengthLogitsProcessor(9, [1, 2]),
        hf.MinNewTokensLengthLogitsProcessor(4, 3, [1, 2]),
        PresenceFrequencyPenaltyLogitsProcessor(0.5, 0.25, 4),
        hf.TemperatureLogitsWarper(0.5),
        hf.TopKLogitsWarper(5),
        hf.TopPLogitsWarper(0.75),
        hf.MinPLogitsWarper(0.25),
    ]
    params = native_params(made, True, 4)
    found = {name: getattr(params, name) for name in dir(params) if not name.startswith("_") and name != "is_identity"}
    assert found == {
        "do_sample": True,
        "repetition_penalty": 1.5,
        "min_new_tokens": 5,
        "eos_token_ids": [1, 2],
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "temperature": 0.5,
        "top_k": 5,
        "top_p": 0.75,
        "min_p": 0.25,
    }
    assert not params.is_identity()
    assert native_params([], False, 4).is_identity()
