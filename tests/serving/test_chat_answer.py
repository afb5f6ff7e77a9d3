"""How the text of a chat becomes messages and chunks, with pieces that no model has to write."""

from types import SimpleNamespace

import pytest


HERMES = 'Let me see. <tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>'
TWO = HERMES + '<tool_call>{"name": "time", "arguments": {}}</tool_call>'


@pytest.fixture
def answers():
    """`answers(text, reason, **options)`: the finished choice, and the chunks, of a text in pieces of 5 characters."""
    pytest.importorskip("llguidance", reason="the packages of the extra [serve] are not installed: make venv")
    from optimum_dynexec.serving.chat_answer import ChatAnswer
    from optimum_dynexec.serving.choice import Piece
    from optimum_dynexec.serving.tool_parsers import HermesParser

    def make(text, reason="stop", **options):
        choice = SimpleNamespace(prompt=[1], tokens=2, cached_tokens=0, accepted_tokens=0)
        answer = ChatAnswer("tiny", [choice], False, HermesParser(), **options)
        pieces = [Piece(text[i : i + 5]) for i in range(0, len(text), 5)] + [Piece("", [], reason)]
        chunks = [chunk["choices"][0] for piece in pieces for chunk in answer.add(0, piece)]
        return answer.complete()["choices"][0], chunks

    return make


def test_text_and_a_call(answers):
    choice, chunks = answers(HERMES)
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Let me see. ", "tool_calls")
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Bern"}'}
    assert call["id"].startswith("call_")
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == "Let me see. "
    (streamed,) = [one for chunk in chunks for one in chunk["delta"].get("tool_calls", ())]
    assert streamed == {"index": 0, **call}
    assert [chunk["finish_reason"] for chunk in chunks][-2:] == [None, "tool_calls"]


@pytest.mark.parametrize(("several", "names"), [(True, ["weather", "time"]), (False, ["weather"])])
def test_several_calls_only_if_they_may_be(answers, several, names):
    choice, chunks = answers(TWO, several_calls=several)
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == names
    streamed = [one for chunk in chunks for one in chunk["delta"].get("tool_calls", ())]
    assert [one["index"] for one in streamed] == list(range(len(names)))


def test_a_call_that_was_cut_off_is_text(answers):
    choice, _ = answers(HERMES[:-20], "length")
    assert (choice["message"]["content"], choice["finish_reason"]) == (HERMES[:-20], "length")
    assert "tool_calls" not in choice["message"]
