"""
Faults over a long time: users who disconnect, send what cannot be read, or come all at once.

    python -m tests.serving.soak DIRECTORY --seconds 1800

serves the export in DIRECTORY, which needs a chat template, and prints what happened. `test_soak.py` is the same for
20 seconds on a tiny model.
"""

import argparse
import asyncio
import collections
import contextlib
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.serving.conftest import RunningServer, running


USERS = 12
QUESTIONS = ["Name a book.", "Who wrote Faust?", "Count to ten.", "What is an index?", "Describe a lighthouse."]
# A server that takes fewer sequences than come at once.
ARGUMENTS = ["--precision", "exact", "--max-running", 8, "--max-waiting", 16]
BURST = 40


class Soak:
    """
    Users of one server.

    Args:
        server ([`RunningServer`]): server under test.
        name (`str`): name of its model.
        seed (`int`): random seed of the users.
    """

    def __init__(self, server: RunningServer, name: str, seed: int):
        self.server, self.name = server, name
        self.random = random.Random(seed)
        self.happened: collections.Counter[str] = collections.Counter()
        self.expected: dict[int, str] = {}
        self.actions: list[Callable[[httpx.AsyncClient], Awaitable[None]]] = [
            self.asks,
            self.asks,
            self.asks,
            self.disconnects,
            self.sends_nonsense,
            self.sends_too_much,
        ]

    def body(self, which: int, **fields: Any) -> dict[str, Any]:
        """Request number `which`, one of twice as many as there are questions: greedy ones, and sampled ones."""
        sampled = {"temperature": 1.5, "seed": which} if which >= len(QUESTIONS) else {"temperature": 0}
        messages = [{"role": "user", "content": QUESTIONS[which % len(QUESTIONS)]}]
        return {"model": self.name, "messages": messages, "max_tokens": 24 + which, **sampled, **fields}

    async def run(self, seconds: float) -> None:
        """Lets the users do what they do for so many seconds."""
        async with httpx.AsyncClient(base_url=self.server.url, timeout=120.0) as client:
            for which in range(2 * len(QUESTIONS)):
                response = await client.post("/v1/chat/completions", json=self.body(which))
                self.expected[which] = response.json()["choices"][0]["message"]["content"]
            end = time.monotonic() + seconds
            await asyncio.gather(*(self.use(client, end) for _ in range(USERS)), self.come_at_once(client, end))

    async def use(self, client: httpx.AsyncClient, end: float) -> None:
        while time.monotonic() < end:
            await self.random.choice(self.actions)(client)

    async def asks(self, client: httpx.AsyncClient) -> None:
        which = self.random.randrange(2 * len(QUESTIONS))
        response = await client.post("/v1/chat/completions", json=self.body(which))
        if self.refused(response):
            await asyncio.sleep(0.05)
            return
        assert response.status_code == 200, response.text
        same = response.json()["choices"][0]["message"]["content"] == self.expected[which]
        self.happened["the answer that it gives alone" if same else "ANOTHER ANSWER"] += 1

    def refused(self, response: httpx.Response) -> bool:
        """Whether the server had no room, and said so as it should."""
        if response.status_code != 429:
            return False
        assert response.headers["Retry-After"]
        assert response.json()["error"]["code"] == "rate_limit_exceeded"
        self.happened["refused"] += 1
        return True

    async def disconnects(self, client: httpx.AsyncClient) -> None:
        body = self.body(0, stream=self.random.random() < 0.7, max_tokens=400)

        async def read_some() -> None:
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                async for _ in response.aiter_lines():
                    if self.random.random() < 0.1:
                        break

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(read_some(), self.random.random())
        self.happened["disconnected"] += 1

    async def sends_nonsense(self, client: httpx.AsyncClient) -> None:
        content = self.random.choice([b"{", b"[]", b'{"model": 1}', b"\xff\xfe", b'{"messages": [[[[]]]]}', b""])
        response = await client.post("/v1/chat/completions", content=content)
        assert response.status_code == 400, response.text
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        self.happened["nonsense"] += 1

    async def sends_too_much(self, client: httpx.AsyncClient) -> None:
        prompt = [5] * 200_000
        response = await client.post("/v1/completions", json={"model": self.name, "prompt": prompt})
        assert response.status_code == 400, response.text
        assert response.json()["error"]["code"] == "context_length_exceeded"
        self.happened["too long"] += 1

    async def come_at_once(self, client: httpx.AsyncClient, end: float) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(self.random.uniform(2, 6))
            await asyncio.gather(*(self.asks(client) for _ in range(BURST)))
            self.happened["all at once"] += 1


def soak(server: RunningServer, name: str, seconds: float, seed: int = 0) -> tuple[collections.Counter, float]:
    """
    Lets users do their worst, and checks that nothing is left of them.

    Args:
        server ([`RunningServer`]): server under test.
        name (`str`): name of its model.
        seconds (`float`): how long.
        seed (`int`, *optional*, defaults to 0): random seed.

    Returns:
        `tuple`: how often what happened, and the growth of the memory after the first quarter, as a share.
    """
    process = psutil.Process(server.process.pid)
    users = Soak(server, name, seed)
    try:
        asyncio.run(users.run(seconds / 4))
        before = process.memory_info().rss
        asyncio.run(users.run(3 * seconds / 4))
    finally:
        for what, times in sorted(users.happened.items()):
            print(f"{what}: {times}")
    server.wait_until(lambda metrics: metrics["vllm:num_requests_running"] == metrics["vllm:kv_cache_usage_perc"] == 0)
    growth = process.memory_info().rss / before - 1
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text()
    return users.happened, growth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("directory", type=Path, help="Directory of an export with a chat template.")
    parser.add_argument("--seconds", type=float, default=1800.0, help="How long.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the users.")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(args.directory, Path(folder) / "log", *ARGUMENTS) as server,
    ):
        _, growth = soak(server, args.directory.name, args.seconds, args.seed)
        print(f"memory after a quarter of the time and at the end: {growth:+.1%}")


if __name__ == "__main__":
    main()
