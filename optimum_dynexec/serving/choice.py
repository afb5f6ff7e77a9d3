"""One choice of an answer: from a prompt to pieces of text."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..modeling.continuous_batching import ContinuousBatchingManager, DynExecGenerationOutput, has_ended
from .detokenizer import Detokenizer
from .errors import ApiError, server_error
from .stop_strings import StopStrings


FINISH_REASONS = {"length": "length", "stop": "stop", "callback": "stop"}


@dataclass(frozen=True)
class TokenInfo:
    """
    A token with its log probability.

    Args:
        token (`int`): token id.
        logprob (`float`): natural logarithm of its probability.
        top (`list[tuple[int, float]]`): the most probable tokens, with theirs.
        offset (`int`): where its text begins in the text of the choice.
    """

    token: int
    logprob: float
    top: list[tuple[int, float]]
    offset: int


@dataclass(frozen=True)
class Piece:
    """
    Text of a choice.

    Args:
        text (`str`): the next text.
        tokens (`list[TokenInfo]`): its tokens, if log probabilities were asked for.
        finish_reason (`str`, *optional*): of the last piece: `"stop"` or `"length"`.
    """

    text: str
    tokens: list[TokenInfo] = field(default_factory=list)
    finish_reason: str | None = None


class Mailbox:
    """The latest result of a request. Results are cumulative, so a slow reader need not see all of them."""

    def __init__(self) -> None:
        self._latest: DynExecGenerationOutput | None = None
        self._arrived = asyncio.Event()

    def put(self, result: DynExecGenerationOutput) -> None:
        """Replaces the result."""
        self._latest = result
        self._arrived.set()

    async def take(self) -> DynExecGenerationOutput:
        """Waits for a result that was not taken before."""
        await self._arrived.wait()
        self._arrived.clear()
        assert self._latest is not None
        return self._latest


class Choice:
    """
    Generates one choice.

    Args:
        manager ([`ContinuousBatchingManager`]): manager of the model.
        prompt (`Sequence[int]`): tokens of the prompt.
        arguments (`dict[str, Any]`): arguments of `add_request`.
        decode (`Callable[[list[int]], str]`): decodes tokens.
        left_out (`Collection[int]`): tokens without text.
        stops (`Sequence[str]`): stop strings.
        wants_pieces (`bool`): whether the text is needed as it comes.
        explain (`Callable[[Exception], ApiError]`): makes the answer for arguments that are not accepted.
        continues (`bool`): whether the text continues that of the prompt, such as with a space.
    """

    def __init__(
        self,
        manager: ContinuousBatchingManager,
        prompt: Sequence[int],
        arguments: dict[str, Any],
        decode: Callable[[list[int]], str],
        left_out: Collection[int],
        stops: Sequence[str],
        wants_pieces: bool,
        explain: Callable[[Exception], ApiError],
        continues: bool,
    ):
        self._manager, self.prompt, self._arguments = manager, prompt, arguments
        self._detokenizer = Detokenizer(decode, left_out, prompt if continues else ())
        self._stops = StopStrings(stops)
        self._streaming = wants_pieces or bool(stops)
        self._left_out, self._explain = left_out, explain
        self._read = 0  # characters, including those held back
        self._given = 0
        self._waiting: list[TokenInfo] = []
        self.tokens = 0
        self.first_token: float | None = None
        self.output: DynExecGenerationOutput | None = None

    async def pieces(self) -> AsyncIterator[Piece]:
        """
        Generates. If the iteration ends early, the request is cancelled.

        Raises:
            [`ApiError`]: with status 400 if an argument is not accepted, with 500 if something goes wrong.
        """
        mailbox = Mailbox()
        try:
            request_id = self._manager.add_request(
                self.prompt, streaming=self._streaming, handler=mailbox.put, **self._arguments
            )
        except (ValueError, TypeError) as error:
            raise self._explain(error) from None
        ended = False
        try:
            while not ended:
                output = await mailbox.take()
                ended = has_ended(output)
                piece = self._read_output(output)
                if self._stops.found and not ended:
                    self._manager.cancel_request(request_id)
                    while not ended:
                        output = await mailbox.take()
                        ended = has_ended(output)
                if ended:
                    self.output = output
                    yield self._last(piece)
                elif piece.text or piece.tokens:
                    yield piece
        finally:
            if not ended:
                self._manager.cancel_request(request_id)

    def _read_output(self, output: DynExecGenerationOutput) -> Piece:
        if self.first_token is None and output.generated_tokens:
            self.first_token = output.lifespan[0] if output.lifespan[0] > 0 else time.perf_counter()
        text = ""
        logprobs = output.logprobs
        for token in output.generated_tokens[self.tokens :]:
            if logprobs and token not in self._left_out:
                top = output.top_logprobs[self.tokens]
                self._waiting.append(TokenInfo(token, logprobs[self.tokens], list(top), self._read))
            self.tokens += 1
            piece = self._detokenizer.add(token)
            self._read += len(piece)
            text += self._stops.add(piece)
            if self._stops.found:
                break
        return self._piece(text)

    def _piece(self, text: str, finish_reason: str | None = None) -> Piece:
        """The text, with the tokens that begin in what has been given now."""
        self._given += len(text)
        all_of_them = finish_reason is not None and not self._stops.found
        ready = [info for info in self._waiting if all_of_them or info.offset < self._given]
        self._waiting = self._waiting[len(ready) :]
        return Piece(text, ready, finish_reason)

    def _last(self, piece: Piece) -> Piece:
        output = self.output
        assert output is not None
        if output.error is not None:
            raise server_error()
        reason = FINISH_REASONS.get(output.finish_reason or "")
        if self._stops.found:
            reason = "stop"
        else:
            end = self._stops.add(self._detokenizer.finish())
            rest = end if self._stops.found else end + self._stops.finish()
            reason = "stop" if self._stops.found else reason
            piece = Piece(piece.text + rest, piece.tokens)
            self._given += len(rest)
        if reason is None:
            raise ApiError(503, "The request was cancelled because the server stops.", "server_error")
        last = self._piece("", reason)
        return Piece(piece.text, piece.tokens + last.tokens, reason)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that were found in the prefix cache."""
        stats = None if self.output is None else self.output.dynexec
        return 0 if stats is None else stats.cached_tokens

    @property
    def accepted_tokens(self) -> int:
        """Draft tokens that are part of the answer."""
        stats = None if self.output is None else self.output.dynexec
        return 0 if stats is None else min(stats.accepted, self.tokens)
