"""How many sequences run, and how many requests wait."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from .errors import ApiError


# A client that is refused should come back after about this many seconds.
RETRY_AFTER = 1


class Admission:
    """
    Lets requests run in the order in which they came, so many at a time.

    Args:
        max_running (`int`): maximum number of sequences that run.
        max_waiting (`int`): maximum number of requests that wait.
    """

    def __init__(self, max_running: int, max_waiting: int):
        self.max_running, self.max_waiting = max_running, max_waiting
        self.running = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return len(self._queue)

    @asynccontextmanager
    async def slots(self, count: int) -> AsyncIterator[None]:
        """
        Holds room for the sequences of a request, and waits for it before.

        Args:
            count (`int`): number of sequences; at most `max_running`.

        Raises:
            [`ApiError`]: with status 429 if too many requests wait.
        """
        await self._enter(count)
        try:
            yield
        finally:
            self.running -= count
            self._wake()

    async def _enter(self, count: int) -> None:
        if not self._queue and self.running + count <= self.max_running:
            self.running += count
            return
        if len(self._queue) >= self.max_waiting:
            raise ApiError(
                429,
                f"The server is busy: {self.running} sequences run and {self.waiting} requests wait, which is all that"
                f" it takes. Try again after {RETRY_AFTER} second.",
                "rate_limit_error",
                code="rate_limit_exceeded",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # those that are cancelled may have been taken out already
                    self._queue.remove((count, turn))
            else:
                self.running -= count  # its turn came at the same time
            self._wake()
            raise

    def _wake(self) -> None:
        while self._queue:
            count, turn = self._queue[0]
            if not turn.cancelled() and self.running + count > self.max_running:
                break
            self._queue.popleft()
            # The task of one that is cancelled runs after this, so it may still be here.
            if not turn.cancelled():
                self.running += count
                turn.set_result(None)
