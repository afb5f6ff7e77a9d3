"""A replica: the application of the server, in an actor of Ray Serve."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.types import Message

from ..arguments import ServeArguments
from .forwarding import Forwarded
from .sockets import pin


class Replica:
    """
    Loads the model on a socket of its own, and answers what the ingress sends.

    Args:
        directory (`str`): directory of an exported model, on every machine.
        arguments ([`~serving.ServeArguments`]): arguments of the server.
    """

    def __init__(self, directory: str, arguments: ServeArguments):
        self._pin = pin()
        # OpenVINO finds out on import how many processors it may use.
        from ..app import make_app
        from ..keys import ApiKeys
        from ..kinds import open_service

        keys = ApiKeys(arguments.api_key_file)
        name = arguments.served_model_name or Path(directory).resolve().name
        self._stack = contextlib.ExitStack()
        self._service = self._stack.enter_context(open_service(Path(directory), name, arguments))
        self._app = make_app(self._service, keys)

    async def respond(self, request: Forwarded) -> AsyncIterator[list[Message]]:
        """
        Answers a request.

        Args:
            request ([`~serving.ray.forwarding.Forwarded`]): request.

        Returns:
            `AsyncIterator[list[Message]]`: the messages of ASGI, as they come.
        """
        messages: asyncio.Queue[Message | None] = asyncio.Queue()
        gone = asyncio.Event()
        body: list[Message] = [{"type": "http.request", "body": request.body, "more_body": False}]

        async def receive() -> Message:
            if body:
                return body.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def answer() -> None:
            try:
                await self._app(dict(request.scope), receive, messages.put)
            finally:
                await messages.put(None)

        answering = asyncio.ensure_future(answer())
        try:
            while (message := await messages.get()) is not None:
                batch = [message]
                while not messages.empty() and (message := messages.get_nowait()) is not None:
                    batch.append(message)
                yield batch
                if message is None:
                    break
            await answering
        finally:
            # When the client disconnects, Ray Serve cancels this call. The application then ends by itself.
            gone.set()
            await asyncio.wait({answering})

    def check_health(self) -> None:
        """
        Called by Ray Serve, which replaces a replica that is not healthy.

        Raises:
            `RuntimeError`: if no results are delivered any more.
        """
        if not self._service.is_running():
            raise RuntimeError("the thread that delivers results has ended")

    def __del__(self) -> None:
        # Called by Ray Serve when the replica has finished its requests; the stack is missing if it never started.
        if hasattr(self, "_stack"):
            self._stack.close()
