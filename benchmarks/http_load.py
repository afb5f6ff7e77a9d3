"""
Users of a server with OpenAI's API, driven by locust. It is not installed with the project: `pip install locust`.

    optimum-cli dynexec serve DIRECTORY
    DYNEXEC_QUESTIONS=spec_bench_questions.jsonl locust -f benchmarks/http_load.py --headless \\
        --users 8 --spawn-rate 8 --run-time 60s --host http://127.0.0.1:8000

Each user streams an answer, and asks the next question when it has come. The table has three lines: the whole request,
the time to its first token, and the time per further token. Any server of this API can be measured with it.
"""

import itertools
import json
import os
import time
from pathlib import Path

from locust import HttpUser, events, task


NEW_TOKENS = int(os.environ.get("DYNEXEC_NEW_TOKENS", "48"))
QUESTIONS = [
    json.loads(line)["turns"][0] for line in Path(os.environ["DYNEXEC_QUESTIONS"]).read_text("utf-8").splitlines()
]
# Every eighth, so that a short run meets all kinds of them.
ORDER = itertools.cycle([*QUESTIONS[::8], *QUESTIONS[4::8]])


def record(name: str, seconds: float, tokens: int) -> None:
    """Adds a line's figure, in milliseconds as locust wants it."""
    events.request.fire(
        request_type="SSE", name=name, response_time=1e3 * seconds, response_length=tokens, exception=None, context={}
    )


class ChatUser(HttpUser):
    """A user who streams answers, one after the other."""

    def on_start(self) -> None:
        """Asks for the name of the model."""
        self.model = self.client.get("/v1/models").json()["data"][0]["id"]

    @task
    def chat(self) -> None:
        """Streams an answer."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": next(ORDER)[:800]}],
            "max_tokens": NEW_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        start = time.perf_counter()
        first, tokens = 0.0, 0
        with self.client.post("/v1/chat/completions", json=body, stream=True, catch_response=True) as response:
            for line in response.iter_lines():
                if not line.startswith(b"data: {"):
                    continue
                chunk = json.loads(line[len(b"data: ") :])
                if "error" in chunk:
                    response.failure(chunk["error"]["message"])
                    return
                if not first and chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                    first = time.perf_counter()
                if chunk.get("usage"):
                    tokens = chunk["usage"]["completion_tokens"]
        end = time.perf_counter()
        if first:
            record("time to first token", first - start, tokens)
            record("time per further token", (end - first) / max(tokens - 1, 1), tokens)
