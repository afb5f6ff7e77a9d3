"""The grammar's processor is a function of the tokens so far, whatever it was asked before."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


grammar = pytest.importorskip(
    "optimum_dynexec.serving.grammar", reason="the packages of the extra [serve] are not installed: make venv"
)
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["fox", "dog"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 2},
    },
    "required": ["kind", "count", "words"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def grammars(tiny_tokenizer):
    return grammar.Grammars(tiny_tokenizer, len(tiny_tokenizer), [tiny_tokenizer.eos_token_id])


@pytest.fixture(scope="module")
def compiled(grammars):
    return grammars.of_schema(SCHEMA, "response_format")


def walk(grammars, compiled, seed, length):
    """A text that follows the grammar, at random."""
    random, processor, tokens = np.random.default_rng(seed), grammars.processor(compiled, 0), []
    while len(tokens) < length:
        tokens.append(int(random.choice(processor.allowed(tokens).nonzero()[0])))
        if tokens[-1] in grammars.tokenizer.eos_tokens:
            break
    return tokens


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_of_questions_gets_the_answers_of_a_fresh_matcher(grammars, compiled, data):
    """As under speculation: forward over a draft, back when it is rejected, and forward on another way."""
    texts = [walk(grammars, compiled, data.draw(st.integers(0, 2**32)), 120) for _ in range(2)]
    asked = st.tuples(st.sampled_from(texts), st.integers(0, 120))
    processor = grammars.processor(compiled, 0)
    for text, length in data.draw(st.lists(asked, min_size=1, max_size=8)):
        fresh = grammars.processor(compiled, 0).allowed(text[:length])
        assert np.array_equal(processor.allowed(text[:length]), fresh)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_text_that_ends_is_valid(grammars, compiled, tiny_tokenizer, seed):
    tokens = walk(grammars, compiled, seed, 2000)
    assert tokens[-1] == tiny_tokenizer.eos_token_id
    value = json.loads(tiny_tokenizer.decode(tokens[:-1]))
    assert set(value) == {"kind", "count", "words"}
    assert value["kind"] in ("fox", "dog")
    assert 0 <= value["count"] <= 99
    assert all(len(word) <= 6 for word in value["words"])


def test_the_end_is_allowed_only_when_the_text_is_complete(grammars, compiled, tiny_tokenizer):
    tokens = walk(grammars, compiled, 3, 2000)
    processor = grammars.processor(compiled, 0)
    allowed = [bool(processor.allowed(tokens[:length])[tiny_tokenizer.eos_token_id]) for length in range(len(tokens))]
    assert allowed == [False] * (len(tokens) - 1) + [True]


def test_a_text_outside_the_grammar_can_only_end_and_is_forgotten(grammars, compiled, tiny_tokenizer):
    processor, tokens = grammars.processor(compiled, 0), walk(grammars, compiled, 5, 10)
    wrong = [tiny_tokenizer.convert_tokens_to_ids("]")]
    assert processor.allowed(wrong).nonzero()[0].tolist() == [tiny_tokenizer.eos_token_id]
    assert np.array_equal(processor.allowed(tokens), grammars.processor(compiled, 0).allowed(tokens))


def test_logits_of_what_is_not_allowed_are_removed(grammars, compiled, tiny_tokenizer):
    """More logits than tokens, and a prompt, which the grammar does not see."""
    processor, vocabulary = grammars.processor(compiled, 2), len(tiny_tokenizer)
    scores = processor(torch.tensor([[5, 6]]), torch.zeros(1, vocabulary + 40))
    allowed = grammars.processor(compiled, 0).allowed([])
    assert torch.equal(scores[0, :vocabulary] == 0, torch.from_numpy(allowed[:vocabulary]))
    assert bool((scores[0, vocabulary:] == -torch.inf).all())


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "object", "not": {}}, "not"),
        ({"type": "color"}, "color"),
        ({"type": "string", "pattern": "("}, "unclosed"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "minimum"),
    ],
)
def test_a_schema_that_cannot_be_used_is_named(grammars, schema, named):
    from optimum_dynexec.serving.errors import ApiError

    with pytest.raises(ApiError, match=named) as caught:
        grammars.of_schema(schema, "response_format")
    assert caught.value.status == 400
    assert caught.value.param == "response_format"
