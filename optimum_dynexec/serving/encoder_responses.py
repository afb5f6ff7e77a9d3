"""The HTTP response of a request that an encoder answers."""

import asyncio
import logging
import time

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .connected import while_connected
from .encoder_service import EncoderService
from .encoder_tasks import EncoderTask, exit_layer
from .errors import timed_out


logger = logging.getLogger(__name__)


class EncodedResponse(Response):
    """
    Runs the model while it is sent. When the client disconnects, texts that wait do not run.

    Args:
        service ([`~serving.encoder_service.EncoderService`]): what all requests share.
        task ([`~serving.encoder_tasks.EncoderTask`]): what to run.
        start (`float`): when the request came, by `time.perf_counter`.
    """

    def __init__(self, service: EncoderService, task: EncoderTask, start: float):
        self._service, self._task, self._start = service, task, start
        self._layers: list[int | None] = []
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._service.arguments.request_timeout
        left = limit - (time.perf_counter() - self._start)
        work = asyncio.wait_for(self._answer(), max(left, 0.0))
        try:
            response = await while_connected(receive, work)
        except asyncio.TimeoutError:
            self._record("abort")
            raise timed_out(limit) from None
        if response is None:
            self._record("abort")
            return
        self._record("stop")
        await response(scope, receive, send)

    async def _answer(self) -> Response:
        service, task = self._service, self._task
        # A request with more texts than run together has the server for itself.
        async with service.admission.slots(min(len(task.inputs), service.admission.max_running)):
            service.metrics.waited(time.perf_counter() - self._start)
            outputs = await service.run(task.inputs, task.early_exit)
        self._layers = [exit_layer(output) for output in outputs]
        # Many long embeddings take a while to write.
        return await asyncio.to_thread(lambda: JSONResponse(task.answer(outputs)))

    def _record(self, reason: str) -> None:
        seconds = time.perf_counter() - self._start
        self._service.metrics.ended(self._task.tokens, len(self._task.inputs), reason, self._layers, seconds)
        logger.info(
            "%s: %d texts, %d tokens, %.3f s, %s",
            self._task.id,
            len(self._task.inputs),
            self._task.tokens,
            seconds,
            reason,
        )
