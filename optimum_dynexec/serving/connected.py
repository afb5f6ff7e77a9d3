"""Work for a client, for as long as it is connected."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive


Result = TypeVar("Result")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result | None:
    """
    Runs something to its end, or until the client disconnects.

    Args:
        receive (`Receive`): gives the messages of the client.
        work (`Coroutine`): what to run. It is cancelled when the client disconnects.

    Returns:
        What `work` returns; `None` if it was cancelled.
    """

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not working.done():
            working.cancel()
        await asyncio.wait({working, gone})
    return None if working.cancelled() else working.result()
