"""Requests run in order, so many at a time; too many are refused; and one that is cancelled leaves no trace."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


# What happens at once, before any task runs on; then tasks run on.
ACTIONS = st.sampled_from(["comes", "comes twice", "leaves", "is cancelled", "tasks run"])


@given(happenings=st.lists(st.tuples(ACTIONS, st.integers(0, 3)), max_size=30))
@example([("comes twice", 0), ("comes", 0), ("tasks run", 0), ("leaves", 0), ("is cancelled", 1)])
@example([("comes twice", 0), ("comes", 0), ("tasks run", 0), ("leaves", 0), ("tasks run", 0), ("is cancelled", 1)])
def test_whoever_comes_leaves_or_is_cancelled_at_the_same_moment_leaves_no_trace(happenings):
    async def main() -> None:
        admission, tasks, ends = Admission(max_running=2, max_waiting=3), [], []

        async def request(count: int, end: asyncio.Future) -> None:
            async with admission.slots(count):
                assert admission.running <= 2
                await end

        for what, which in happenings:
            if what.startswith("comes"):
                ends.append(asyncio.get_running_loop().create_future())
                tasks.append(asyncio.create_task(request(1 + (what == "comes twice"), ends[-1])))
            elif what == "tasks run":
                await asyncio.sleep(0)
            elif which < len(tasks):
                if what == "is cancelled":
                    tasks[which].cancel()
                elif not ends[which].done():
                    ends[which].set_result(None)
        for end in ends:
            if not end.done():
                end.set_result(None)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError | ApiError) for outcome in outcomes)
        assert len(refused) <= max(len(tasks) - 3, 0)
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(asyncio.wait_for(main(), 10))
