"""The process: it listens, and on a signal it finishes what runs before it ends."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from .base_service import BaseService
from .errors import ServeError


logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Server(uvicorn.Server):
    """
    uvicorn, with signals that first let requests end.

    Args:
        app (`ASGIApp`): what answers.
        service ([`BaseService`]): what all requests share.
    """

    def __init__(self, app: ASGIApp, service: BaseService):
        arguments = service.arguments
        super().__init__(
            uvicorn.Config(
                app,
                host=arguments.host,
                port=arguments.port,
                log_config=None,
                access_log=arguments.log_level == "debug",
                lifespan="off",
                server_header=False,
                ws="none",
            )
        )
        self._service = service
        self._drain: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Instead of uvicorn's own handling, which closes the port at once and ends with the signal."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list | None = None) -> None:
        await super().startup(sockets)
        for listening in self.servers:
            for listener in listening.sockets:
                host, port = listener.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                # Tests and scripts look for this line.
                logger.warning("Serving %s on http://%s:%d", self._service.name, shown, port)

    def _on_signal(self) -> None:
        if self._drain is None:
            self._service.draining = True
            logger.warning("Stopping: %d requests are being finished.", self._service.active)
            self._drain = asyncio.get_running_loop().create_task(self._finish())
        else:
            self.should_exit = self.force_exit = True

    async def _finish(self) -> None:
        while self._service.active:
            await asyncio.sleep(0.05)
        self.should_exit = True


def run(app: ASGIApp, service: BaseService) -> None:
    """
    Listens until a signal comes.

    Args:
        app (`ASGIApp`): what answers.
        service ([`BaseService`]): what all requests share.

    Raises:
        [`ServeError`]: if the address cannot be listened on.
    """
    try:
        asyncio.run(Server(app, service).serve())
    except SystemExit:
        # uvicorn's way to say that the address is taken; it has logged why.
        arguments = service.arguments
        raise ServeError(f"cannot listen on {arguments.host}:{arguments.port}: take another --port") from None
