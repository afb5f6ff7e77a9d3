"""The choices of an answer, which are generated together."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from .choice import Choice, Piece


async def merged(choices: Sequence[Choice]) -> AsyncIterator[tuple[int, Piece]]:
    """
    Generates choices, and gives their pieces as they come. If the iteration ends early, all of them are cancelled.

    Args:
        choices (`Sequence[Choice]`): the choices.

    Returns:
        `AsyncIterator[tuple[int, Piece]]`: the index of the choice, and the piece.

    Raises:
        [`ApiError`]: see [`Choice.pieces`].
    """
    # Small, so that a client that reads slowly does not fill the memory.
    queue: asyncio.Queue[tuple[int, Piece | BaseException | None]] = asyncio.Queue(len(choices))

    async def pump(index: int) -> None:
        pieces = choices[index].pieces()
        try:
            async for piece in pieces:
                await queue.put((index, piece))
        except Exception as error:
            await queue.put((index, error))
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]
        await queue.put((index, None))

    tasks = [asyncio.create_task(pump(index)) for index in range(len(choices))]
    open_choices = len(choices)
    try:
        while open_choices:
            index, piece = await queue.get()
            if piece is None:
                open_choices -= 1
            elif isinstance(piece, BaseException):
                raise piece
            else:
                yield index, piece
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
