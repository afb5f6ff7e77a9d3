"""Where a text ends: at the same token as in transformers, also if that token stands inside a draft."""

import pytest
import torch
from transformers import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tests.tiny_models import TEXT


# The model's own text is drafted whole, so that whatever ends a text does so inside a draft.
MODES = {
    "off": {"speculation": "off"},
    "prompt_lookup": {"prompt_lookup_num_tokens": 7},
    "itself": {"assistant_model": "gpt2", "num_assistant_tokens": 7, "assistant_confidence_threshold": 0.0},
    "auto": {"speculation": "auto", "assistant_model": "gpt2"},
}
PROMPT = TEXT[0]


@pytest.fixture(params=MODES)
def generate(request, tiny_model, encode):
    """The generated tokens only, in one of the modes."""
    model = tiny_model("gpt2")

    def get(*prompts, **arguments):
        mode = {k: tiny_model(v) if v == "gpt2" else v for k, v in MODES[request.param].items()}
        inputs = encode(*(prompts or [PROMPT]))
        out = model.generate(**inputs, **{"do_sample": False, **mode, **arguments})
        get.stats = model.last_stats
        return out[:, inputs["input_ids"].shape[1] :]

    get.mode = request.param
    return get


@pytest.fixture(scope="module")
def expected(torch_model, encode):
    def get(*prompts, **arguments):
        inputs = encode(*(prompts or [PROMPT]))
        out = torch_model("gpt2").generate(**inputs, **{"do_sample": False, **arguments})
        return out[:, inputs["input_ids"].shape[1] :]

    return get


@pytest.mark.parametrize("new_tokens", [1, 2, 3, 5, 8, 9, 17])
def test_max_new_tokens_is_never_overshot(new_tokens, generate, expected):
    tokens = generate(max_new_tokens=new_tokens)
    assert tokens.shape[1] == new_tokens == generate.stats.tokens
    assert torch.equal(tokens, expected(max_new_tokens=new_tokens))
    if generate.mode == "itself" and new_tokens > 2:
        assert generate.stats.accepted > 0


def test_max_length_counts_the_prompt(generate, expected, encode):
    length = encode(PROMPT)["input_ids"].shape[1] + 5
    tokens = generate(max_length=length)
    assert tokens.shape[1] == 5
    assert torch.equal(tokens, expected(max_length=length))


def test_max_length_counts_the_padding(generate, expected):
    assert torch.equal(generate(PROMPT, "a", max_length=60), expected(PROMPT, "a", max_length=60))


@pytest.mark.parametrize("at", [0, 1, 4, 10])
def test_an_end_of_text_inside_a_draft(at, generate, expected):
    free = expected(max_new_tokens=20)[0].tolist()
    end = free[at]
    tokens = generate(max_new_tokens=20, eos_token_id=end)
    assert tokens[0].tolist() == free[: free.index(end) + 1]
    assert torch.equal(tokens, expected(max_new_tokens=20, eos_token_id=end))


def test_several_ends_of_text(generate, expected):
    free = expected(max_new_tokens=20)[0].tolist()
    ends = sorted({free[6], free[12], 349})
    assert torch.equal(generate(max_new_tokens=20, eos_token_id=ends), expected(max_new_tokens=20, eos_token_id=ends))


def test_rows_end_apart_and_are_filled(generate, expected):
    prompts, free = TEXT[:3], expected(*TEXT[:3], max_new_tokens=24)
    arguments = {"max_new_tokens": 24, "eos_token_id": [int(free[0, 3]), int(free[2, 9])], "pad_token_id": 0}
    tokens = generate(*prompts, **arguments)
    assert torch.equal(tokens, expected(*prompts, **arguments))
    lengths = {int((row != 0).sum()) for row in tokens}
    assert len(lengths) > 1


@pytest.mark.parametrize("how", [{"min_new_tokens": 9}, {"min_length": 49}])
def test_a_minimum_keeps_the_end_away(how, generate, expected, encode):
    assert encode(PROMPT)["input_ids"].shape[1] == 40
    end = int(expected(max_new_tokens=20)[0, 4])
    tokens = generate(max_new_tokens=20, eos_token_id=end, **how)
    assert torch.equal(tokens, expected(max_new_tokens=20, eos_token_id=end, **how))
    assert end not in tokens[0, :9]


@pytest.mark.parametrize("at", [3, 8])
def test_a_stop_string_inside_a_draft(at, generate, expected, tiny_tokenizer):
    free = expected(max_new_tokens=20)[0]
    stop = tiny_tokenizer.decode(free[at : at + 2])
    arguments = {"max_new_tokens": 20, "stop_strings": [stop, "never written"], "tokenizer": tiny_tokenizer}
    tokens = generate(**arguments)
    assert torch.equal(tokens, expected(**arguments))
    assert tokens.shape[1] < 20


def test_stop_strings_in_a_batch(generate, expected, tiny_tokenizer):
    free = expected(*TEXT[:3], max_new_tokens=20)
    arguments = {
        "max_new_tokens": 20,
        "stop_strings": [tiny_tokenizer.decode(free[1, 5:7])],
        "tokenizer": tiny_tokenizer,
        "pad_token_id": 0,
    }
    assert torch.equal(generate(*TEXT[:3], **arguments), expected(*TEXT[:3], **arguments))


class StopsAt(StoppingCriteria):
    """Ends a text of so many tokens, and notes every length it is asked about."""

    def __init__(self, length):
        self.length, self.asked = length, []

    def __call__(self, input_ids, scores, **kwargs):
        self.asked.append(input_ids.shape[1])
        return torch.full((input_ids.shape[0],), input_ids.shape[1] >= self.length)


def test_a_criterion_of_the_user(generate, expected):
    ours, theirs = StopsAt(47), StopsAt(47)
    tokens = generate(max_new_tokens=20, stopping_criteria=StoppingCriteriaList([ours]))
    assert torch.equal(tokens, expected(max_new_tokens=20, stopping_criteria=StoppingCriteriaList([theirs])))
    assert ours.asked == theirs.asked == [41, 42, 43, 44, 45, 46, 47]


def test_a_criterion_of_the_user_in_a_batch(generate, expected):
    ours, theirs = (StoppingCriteriaList([StopsAt(47)]) for _ in range(2))
    tokens = generate(*TEXT[:2], max_new_tokens=20, stopping_criteria=ours)
    assert torch.equal(tokens, expected(*TEXT[:2], max_new_tokens=20, stopping_criteria=theirs))


class StopsAtLength(MaxLengthCriteria):
    """A class of the user that is not transformers' own."""


CRITERIA_OF_TRANSFORMERS = {
    "shorter": lambda _: [MaxLengthCriteria(47)],
    "longer": lambda _: [MaxLengthCriteria(70)],
    "reached by the prompt": lambda _: [MaxLengthCriteria(3)],
    "two lengths": lambda _: [MaxLengthCriteria(70), MaxLengthCriteria(50)],
    "a subclass": lambda _: [StopsAtLength(47)],
    "another end": lambda ends: [EosTokenCriteria(ends[1])],
    "two ends": lambda ends: [EosTokenCriteria(ends[2]), EosTokenCriteria(ends[1])],
    "a length and an end": lambda ends: [MaxLengthCriteria(70), EosTokenCriteria(ends[2])],
    "a time": lambda _: [MaxTimeCriteria(0.0)],
}


@pytest.mark.parametrize("name", CRITERIA_OF_TRANSFORMERS)
def test_criteria_of_transformers_given_by_the_user(name, generate, expected):
    """In transformers, they take the place of those of the same type that the configuration asks for."""
    varied = {"repetition_penalty": 1.8, "pad_token_id": 0}
    free = expected(max_new_tokens=40, **varied)[0].tolist()
    # The model's own end of the text comes first, those of the user after it.
    ends = [token for i, token in enumerate(free) if i > 4 and token not in free[:i]][:3]
    arguments = {**varied, "max_new_tokens": 25, "eos_token_id": ends[0]}
    theirs, ours = (StoppingCriteriaList(CRITERIA_OF_TRANSFORMERS[name](ends)) for _ in range(2))
    right = expected(stopping_criteria=theirs, **arguments)
    assert torch.equal(generate(stopping_criteria=ours, **arguments), right)


def test_a_model_with_learned_positions_ends_with_them(generate, caplog):
    tokens = generate(max_new_tokens=500, eos_token_id=None, min_new_tokens=216)
    assert tokens.shape[1] == 256 - 40
    assert "256" in caplog.text


def test_a_time_limit_ends_the_text(generate):
    tokens = generate(max_new_tokens=200, min_new_tokens=200, max_time=1e-9)
    assert 1 <= tokens.shape[1] < 200
