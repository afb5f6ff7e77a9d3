"""The HTTP response of a request that generates: as a whole, or as a stream of events."""

import asyncio
import contextlib
import json
import logging
import time
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .connected import while_connected
from .errors import ApiError, timed_out
from .merging import merged
from .service import Service, Task
from .tasks import MakeAnswer


logger = logging.getLogger(__name__)

# Seconds in which a client has to take the error at the end of a stream.
LAST_WORDS = 5.0


class GeneratedResponse(Response):
    """
    Generates while it is sent. When the client disconnects, the generation ends.

    Args:
        service ([`Service`]): what all requests share.
        task ([`Task`]): what to generate.
        make_answer (`MakeAnswer`): makes the answer of the choices.
        start (`float`): when the request came, by `time.perf_counter`.
    """

    def __init__(self, service: Service, task: Task, make_answer: MakeAnswer, start: float):
        self._service, self._task, self._start = service, task, start
        # Before anything is sent, so that what is not accepted has its status.
        self._choices = service.choices(task)
        self._answer = make_answer(self._choices)
        self._reasons: list[str | None] = [None] * len(self._choices)
        self._begun = False
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = self._service.arguments.request_timeout - (time.perf_counter() - self._start)
        stream = bool(self._task.request.stream)
        work = self._stream(send) if stream else self._whole(scope, receive, send)
        try:
            await while_connected(receive, asyncio.wait_for(work, max(left, 0.0)))
            self._record("abort")
        except asyncio.TimeoutError:
            self._record("abort")
            await self._fail(timed_out(self._service.arguments.request_timeout), send)
        except ApiError as error:
            # What is refused does not count.
            if error.status >= 500:
                self._record("error")
            await self._fail(error, send)

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._service.admission.slots(len(self._choices)):
            self._service.metrics.waited(time.perf_counter() - self._start)
            pieces = merged(self._choices)
            async with contextlib.aclosing(pieces):  # type: ignore[type-var]
                async for index, piece in pieces:
                    self._answer.add(index, piece)
                    self._reasons[index] = piece.finish_reason
        await JSONResponse(self._answer.complete())(scope, receive, send)

    async def _stream(self, send: Send) -> None:
        async with self._service.admission.slots(len(self._choices)):
            self._service.metrics.waited(time.perf_counter() - self._start)
            pieces = merged(self._choices)
            async with contextlib.aclosing(pieces):  # type: ignore[type-var]
                async for index, piece in pieces:
                    if not self._begun:
                        await self._begin(send)
                        await self._events(self._answer.opening(), send)
                    self._reasons[index] = piece.finish_reason
                    await self._events(self._answer.add(index, piece), send)
        await self._events(self._answer.ending(), send)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _begin(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        self._begun = True
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    @staticmethod
    async def _events(contents: list[dict[str, Any]], send: Send) -> None:
        if contents:
            body = b"".join(b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in contents)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _fail(self, error: ApiError, send: Send) -> None:
        """Within a stream, the status has been sent already, and the error is an event."""
        if not self._begun:
            raise error
        # A client that does not read must not keep the server from stopping.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._end_stream(error, send), LAST_WORDS)

    async def _end_stream(self, error: ApiError, send: Send) -> None:
        await self._events([error.body()], send)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    def _record(self, otherwise: str) -> None:
        """Counts the choices; `otherwise`: the reason of those that have not ended by themselves."""
        end, reasons = time.perf_counter(), [reason or otherwise for reason in self._reasons]
        self._service.metrics.ended(self._choices, reasons, self._start, end)
        logger.info(
            "%s: %d prompt tokens, %d new tokens, %.3f s, %s",
            self._answer.id,
            sum(len(choice.prompt) for choice in self._choices),
            sum(choice.tokens for choice in self._choices),
            end - self._start,
            ", ".join(reasons),
        )
