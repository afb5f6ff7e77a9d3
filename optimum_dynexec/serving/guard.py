"""The outermost layer: who may ask, what is refused at once, and errors that no one has handled."""

import logging
import traceback
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError, server_error
from .keys import ApiKeys


if TYPE_CHECKING:
    from .base_service import BaseService

logger = logging.getLogger(__name__)

# Asked by load balancers and Prometheus while the server finishes what runs.
WITHOUT_KEY = ("/health",)
WHILE_DRAINING = ("/health", "/metrics")


class Guard:
    """
    Checks the API key, refuses requests when the server stops, and answers unexpected errors without their details.

    Args:
        app (`ASGIApp`): what answers.
        service ([`BaseService`]): what all requests share.
        keys ([`ApiKeys`]): API keys.
    """

    def __init__(self, app: ASGIApp, service: "BaseService", keys: ApiKeys):
        self._app, self._service, self._keys = app, service, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            self._check(scope)
        except ApiError as error:
            await answer_error(error)(scope, receive, send)
            return
        self._service.active += 1
        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            # The message of an exception may contain text of a prompt.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("%s in %s %s\n%s", type(error).__name__, scope["method"], scope["path"], where)
            if not begun:
                await answer_error(server_error())(scope, receive, send)
        finally:
            self._service.active -= 1
            self._service.answered += scope["path"] not in WHILE_DRAINING

    def _check(self, scope: Scope) -> None:
        path = scope["path"]
        if self._service.draining and path not in WHILE_DRAINING:
            raise ApiError(
                503,
                "The server is stopping and takes no new requests.",
                "server_error",
                code="stopping",
                headers={"Retry-After": "10", "Connection": "close"},
            )
        headers = {name.lower(): value for name, value in scope["headers"]}
        if path not in WITHOUT_KEY:
            given = headers.get(b"authorization")
            scope.setdefault("state", {})["tenant"] = self._keys.tenant(
                None if given is None else given.decode("utf-8", "surrogateescape")
            )


def answer_error(error: ApiError) -> JSONResponse:
    """
    The response for an error.

    Args:
        error ([`ApiError`]): error.
    """
    return JSONResponse(error.body(), error.status, error.headers)
