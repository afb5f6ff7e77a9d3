"""Answers of `/v1/completions`."""

from collections.abc import Sequence
from typing import Any

from .answers import Answer
from .choice import Choice, Piece, TokenInfo
from .token_texts import TokenTexts, finite


class CompletionAnswer(Answer):
    """
    The answer to a completion.

    Args:
        model (`str`): name of the model.
        choices (`Sequence[Choice]`): the choices.
        include_usage (`bool`): whether the chunks end with the usage.
        echoes (`Sequence[str]`): text of the prompt of each choice, which is put before it; empty if there is none.
        texts ([`TokenTexts`], *optional*): texts of tokens, if log probabilities were asked for.
    """

    prefix, whole, part = "cmpl", "text_completion", "text_completion"

    def __init__(
        self,
        model: str,
        choices: Sequence[Choice],
        include_usage: bool,
        echoes: Sequence[str],
        texts: TokenTexts | None = None,
    ):
        super().__init__(model, choices, include_usage)
        self._token_texts, self._echoes = texts, echoes
        self._texts = list(echoes)
        self._tokens: list[list[TokenInfo]] = [[] for _ in choices]
        self._reasons: list[str | None] = [None for _ in choices]

    def opening(self) -> list[dict[str, Any]]:
        return [self.chunk(self._choice(i, text, [], None)) for i, text in enumerate(self._echoes) if text]

    def add(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        self._texts[index] += piece.text
        self._tokens[index] += piece.tokens
        self._reasons[index] = piece.finish_reason
        return [self.chunk(self._choice(index, piece.text, piece.tokens, piece.finish_reason))]

    def finished(self) -> list[dict[str, Any]]:
        return [
            self._choice(index, text, self._tokens[index], self._reasons[index])
            for index, text in enumerate(self._texts)
        ]

    def _choice(self, index: int, text: str, tokens: list[TokenInfo], reason: str | None) -> dict[str, Any]:
        logprobs = None if self._token_texts is None else _logprobs(self._token_texts, tokens)
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(texts: TokenTexts, tokens: list[TokenInfo]) -> dict[str, Any]:
    return {
        "tokens": [texts.text_of(info.token) for info in tokens],
        "token_logprobs": [finite(info.logprob) for info in tokens],
        # As in OpenAI's API, the chosen token is there too.
        "top_logprobs": [
            {texts.text_of(token): finite(value) for token, value in [*info.top, (info.token, info.logprob)]}
            for info in tokens
        ],
        "text_offset": [info.offset for info in tokens],
    }
