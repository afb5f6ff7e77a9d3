"""What receives requests and passes them to replicas. A request whose replica ends is sent to another one."""

import json
import logging
from collections.abc import Iterable
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from ..bodies import receive_body
from ..errors import ApiError, server_error
from ..guard import answer_error
from .forwarding import Forwarded, forwarded


logger = logging.getLogger(__name__)

# A request that ends its replica each time must not end all of them.
ATTEMPTS = 3


class Ingress:
    """
    Passes requests to replicas.

    Args:
        replicas (`DeploymentHandle`): the replicas.
        max_body_bytes (`int`): maximum size of the body of a request.
    """

    def __init__(self, replicas: DeploymentHandle, max_body_bytes: int):
        self._replicas = replicas.options(stream=True)
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _check_path(scope["path"])
            body = await receive_body(Request(scope, receive), self._max_body_bytes)
        except ApiError as error:
            await answer_error(error)(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._answer(forwarded(scope, body), answer)
        except ApiError as error:
            if answer.begun:
                await answer.end_with(error)
            else:
                await answer_error(error)(scope, receive, send)

    async def _answer(self, request: Forwarded, answer: "_Answer") -> None:
        for attempt in range(1, ATTEMPTS + 1):
            response = self._replicas.respond.remote(request)
            try:
                async for messages in response:
                    await answer.add(messages)
                return
            except RayActorError as error:
                logger.warning(
                    "A replica has ended while it answered, at attempt %d: %s", attempt, type(error).__name__
                )
                if answer.begun:
                    break
                answer.forget()
            except RayServeException as error:
                logger.error("%s in %s", type(error).__name__, request.scope["path"])
                raise server_error() from None
            finally:
                # Nothing happens if it has ended.
                response.cancel()
        raise ApiError(
            503,
            "The replica that answered this request has ended: send the request again.",
            "server_error",
            code="replica_ended",
            headers={"Retry-After": "1"},
        )


class _Answer:
    """An answer on its way to the client. Its status is sent with the first part of its body, not before."""

    def __init__(self, send: Send):
        self._send = send
        self._start: list[Message] = []
        self._is_stream = False
        self.begun = False

    async def add(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message["type"] == "http.response.start":
                self._is_stream = _content_type(message).startswith(b"text/event-stream")
                self._start = [message]
                continue
            self.begun = True
            for start in self._start:
                await self._send(start)
            self._start = []
            await self._send(message)

    def forget(self) -> None:
        """Drops what has not been sent."""
        self._start = []

    async def end_with(self, error: ApiError) -> None:
        """The status has been sent, so the error is the last event."""
        event = b"data: " + json.dumps(error.body()).encode() + b"\n\ndata: [DONE]\n\n"
        await self._send({"type": "http.response.body", "body": event if self._is_stream else b"", "more_body": False})


def _content_type(start: Message) -> Any:
    return next((value for name, value in start.get("headers", ()) if name.lower() == b"content-type"), b"")


def _check_path(path: str) -> None:
    """
    Raises:
        [`ApiError`]: with status 404 for the metrics of a single replica, which would be those of any of them.
    """
    if path == "/metrics":
        raise ApiError(404, "Replicas have no common /metrics: use those of Ray, whose names begin with ray_serve_.")
