"""Requests run in order, so many at a time; too many are refused; and one that is cancelled leaves no trace."""

import asyncio

import pytest

from optimum_dynexec.serving.admission import Admission
from optimum_dynexec.serving.errors import ApiError


def test_requests_wait_for_their_turn_and_too_many_are_refused():
    async def main() -> None:
        admission, order = Admission(max_running=2, max_waiting=2), []

        async def request(name: str, count: int, end: asyncio.Event) -> None:
            async with admission.slots(count):
                order.append(name)
                await end.wait()

        ends = {name: asyncio.Event() for name in "abcd"}
        tasks = []
        for name, count in (("a", 2), ("b", 2), ("c", 1)):
            tasks.append(asyncio.create_task(request(name, count, ends[name])))
            await asyncio.sleep(0)
        assert (order, admission.running, admission.waiting) == (["a"], 2, 2)
        with pytest.raises(ApiError) as caught:
            await request("d", 1, ends["d"])
        assert caught.value.status == 429
        assert caught.value.headers["Retry-After"] == "1"
        # One that waits goes away: the next one moves up.
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert admission.waiting == 1
        ends["a"].set()
        await asyncio.sleep(0.01)
        assert (order, admission.running) == (["a", "c"], 1)
        ends["c"].set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_request_that_is_cancelled_when_its_turn_comes_gives_it_on():
    async def main() -> None:
        admission = Admission(max_running=1, max_waiting=2)

        async def request() -> None:
            async with admission.slots(1):
                await asyncio.sleep(0)

        first = admission.slots(1)
        await first.__aenter__()
        second, third = asyncio.create_task(request()), asyncio.create_task(request())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)
        second.cancel()
        await asyncio.gather(second, third, return_exceptions=True)
        assert third.exception() is None
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(asyncio.wait_for(main(), 10))
