"""Tokens become text piece by piece, and the pieces are those of the whole text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimum_dynexec.serving.detokenizer import Detokenizer
from optimum_dynexec.serving.stop_strings import StopStrings


def decoder(tokenizer):
    return lambda tokens: tokenizer.decode(tokens)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_pieces_are_the_text_of_all_tokens(tiny_tokenizer, data):
    """Any tokens: most of them are halves of characters."""
    tokens = data.draw(st.lists(st.integers(3, len(tiny_tokenizer) - 1), max_size=80))
    detokenizer = Detokenizer(decoder(tiny_tokenizer))
    pieces = [detokenizer.add(token) for token in tokens]
    assert "".join(pieces) + detokenizer.finish() == tiny_tokenizer.decode(tokens)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=60))
def test_no_piece_ends_within_a_character(tiny_tokenizer, text):
    """Each piece is valid text: what is given is always a beginning of the text."""
    detokenizer, given_text = Detokenizer(decoder(tiny_tokenizer)), ""
    for token in tiny_tokenizer(text)["input_ids"]:
        given_text += detokenizer.add(token)
        assert text.startswith(given_text)
    assert given_text + detokenizer.finish() == text


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_text_goes_on_where_another_ended(tiny_tokenizer, data):
    """Even if that was within a character, which is then given as a whole."""
    tokens = data.draw(st.lists(st.integers(3, len(tiny_tokenizer) - 1), min_size=1, max_size=40))
    cut = data.draw(st.integers(0, len(tokens)))
    detokenizer = Detokenizer(decoder(tiny_tokenizer), before=tokens[:cut])
    text = "".join(map(detokenizer.add, tokens[cut:])) + detokenizer.finish()
    before = tiny_tokenizer.decode(tokens[:cut])
    whole = tiny_tokenizer.decode(tokens)
    assert whole.endswith(text)
    assert len(before.rstrip("\ufffd")) <= len(whole) - len(text) <= len(before)


def test_tokens_without_text_are_left_out(tiny_tokenizer):
    detokenizer = Detokenizer(decoder(tiny_tokenizer), left_out={tiny_tokenizer.eos_token_id})
    ids = tiny_tokenizer("fox")["input_ids"]
    assert "".join(map(detokenizer.add, [*ids, tiny_tokenizer.eos_token_id])) + detokenizer.finish() == "fox"


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.text("ab", max_size=4), max_size=12),
    strings=st.lists(st.text("ab", min_size=1, max_size=5), max_size=4),
)
def test_text_ends_before_the_first_stop_string_however_it_comes(pieces, strings):
    text = "".join(pieces)
    ends = [text.find(string) for string in strings if string in text]
    stops, given_text = StopStrings(strings), ""
    for piece in pieces:
        given_text += stops.add(piece)
        # Nothing that was given has to be taken back.
        assert text.startswith(given_text)
        assert not any(string in given_text for string in strings)
    given_text += stops.finish()
    assert stops.found == bool(ends)
    if not ends:
        assert given_text == text
    else:
        # A string that is complete earlier wins over one that begins earlier.
        assert given_text in {text[:end] for end in ends}


@pytest.mark.parametrize("pieces", [["ab", "EN", "D!"], ["abE", "ND!"], ["abEND!"], ["a", "b", "E", "N", "D", "!"]])
def test_a_stop_string_across_pieces(pieces):
    stops = StopStrings(["END"])
    assert "".join(map(stops.add, pieces)) + stops.finish() == "ab"
    assert stops.found


def test_the_beginning_of_a_stop_string_is_given_when_no_text_follows():
    stops = StopStrings(["END"])
    assert stops.add("abEN") == "ab"
    assert stops.finish() == "EN"
    assert not stops.found
