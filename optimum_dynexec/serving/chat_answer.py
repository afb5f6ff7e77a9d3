"""Answers of `/v1/chat/completions`."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import Answer
from .choice import Choice, Piece, TokenInfo
from .forced_calls import ForcedCall
from .token_texts import TokenTexts
from .tool_parsers import Call, ToolParser
from .tool_stream import ToolStream


@dataclass
class _State:
    """What has come of a choice."""

    stream: ToolStream | None
    text: str = ""
    forced: str = ""
    tokens: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None


class ChatAnswer(Answer):
    """
    The answer to a chat.

    Args:
        model (`str`): name of the model.
        choices (`Sequence[Choice]`): the choices.
        include_usage (`bool`): whether the chunks end with the usage.
        parser ([`ToolParser`], *optional*): form of tool calls, if the model may make some.
        forced ([`ForcedCall`], *optional*): call that it must make.
        texts ([`TokenTexts`], *optional*): texts of tokens, if log probabilities were asked for.
        several_calls (`bool`, *optional*, defaults to `True`): whether to give more than the first call.
    """

    prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(
        self,
        model: str,
        choices: Sequence[Choice],
        include_usage: bool,
        parser: ToolParser | None = None,
        forced: ForcedCall | None = None,
        texts: TokenTexts | None = None,
        several_calls: bool = True,
    ):
        super().__init__(model, choices, include_usage)
        self._forced, self._texts = forced, texts
        self._most_calls = None if several_calls else 1
        self._states = [_State(None if parser is None else ToolStream(parser)) for _ in choices]

    def opening(self) -> list[dict[str, Any]]:
        return [self._delta(i, {"role": "assistant", "content": ""}) for i in range(len(self._states))]

    def add(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        state = self._states[index]
        text, calls = self._split(state, piece)
        state.text += text
        numbered = [self._call(call, len(state.calls) + i) for i, call in enumerate(calls[: self._most_calls])]
        state.calls += numbered
        logprobs = None
        if self._texts is not None and piece.tokens:
            entries = [_logprob(self._texts, info) for info in piece.tokens]
            state.tokens += entries
            logprobs = {"content": entries, "refusal": None}
        chunks = []
        if text or logprobs is not None:
            chunks.append(self._delta(index, {"content": text}, logprobs=logprobs))
        if numbered:
            chunks.append(self._delta(index, {"tool_calls": numbered}))
        if piece.finish_reason is not None:
            finished = piece.finish_reason == "stop"
            state.finish_reason = "tool_calls" if finished and state.calls else piece.finish_reason
            chunks.append(self._delta(index, {}, finish_reason=state.finish_reason))
        return chunks

    def finished(self) -> list[dict[str, Any]]:
        choices = []
        for index, state in enumerate(self._states):
            message: dict[str, Any] = {"role": "assistant", "content": state.text, "refusal": None}
            if state.calls:
                calls = [{key: value for key, value in call.items() if key != "index"} for call in state.calls]
                message |= {"content": state.text or None, "tool_calls": calls}
            choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": state.finish_reason}
            choice["logprobs"] = None if self._texts is None else {"content": state.tokens, "refusal": None}
            choices.append(choice)
        return choices

    def _split(self, state: _State, piece: Piece) -> tuple[str, list[Call]]:
        """The content and the calls of a piece."""
        if self._forced is not None:
            state.forced += piece.text
            if piece.finish_reason is None:
                return "", []
            calls = self._forced.parse(state.forced)
            return ("", calls) if calls else (state.forced, [])
        if state.stream is None:
            return piece.text, []
        text = state.stream.add(piece.text)
        if piece.finish_reason is None:
            return text, []
        rest, calls = state.stream.finish()
        return text + rest, calls

    @staticmethod
    def _call(call: Call, index: int) -> dict[str, Any]:
        function = {"name": call.name, "arguments": call.arguments}
        return {"index": index, "id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}

    def _delta(
        self, index: int, delta: dict[str, Any], finish_reason: str | None = None, logprobs: Any = None
    ) -> dict[str, Any]:
        return self.chunk({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason})


def _logprob(texts: TokenTexts, info: TokenInfo) -> dict[str, Any]:
    top = [texts.entry(token, logprob) for token, logprob in info.top]
    return {**texts.entry(info.token, info.logprob), "top_logprobs": top}
