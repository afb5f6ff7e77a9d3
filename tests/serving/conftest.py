"""A server in a process of its own, on a tiny model with a chat template."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


ROOT = Path(__file__).parents[2]
REASON = "the packages of the extra [serve] and openai are not installed: make venv"
# Hermes' form, in short. The tiny model does not understand it, but it has to fit the parsers.
TEMPLATE = """\
{%- for message in messages %}{{ message['role'] }}: {{ message['content'] }}
{% endfor %}{% if tools %}{{ tools | tojson }} Answer <tool_call>{"name": ..., "arguments": ...}</tool_call>
{% endif %}{% if add_generation_prompt %}assistant: {% endif %}"""
POSITIONS = 8192


@dataclass
class RunningServer:
    """
    A server that runs.

    Args:
        process (`subprocess.Popen`): its process.
        url (`str`): where it listens.
        log (`Path`): what it says.
        key (`str`): a key that it accepts.
    """

    process: subprocess.Popen
    url: str
    log: Path
    key: str = "none"

    def client(self, kind: str = "OpenAI", **options) -> Any:
        """A client of the official package."""
        import openai

        options = {"api_key": self.key, "max_retries": 0, "timeout": 60.0, **options}
        return getattr(openai, kind)(base_url=f"{self.url}/v1", **options)

    def http(self, **options) -> Any:
        """A plain HTTP client."""
        import httpx

        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=60.0, **options
        )

    def metrics(self) -> dict[str, float]:
        """The metrics, by name; those of several labels are summed."""
        from prometheus_client.parser import text_string_to_metric_families

        with self.http() as http:
            text = http.get("/metrics").text
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
        return values

    def wait_until(self, condition: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Waits until the metrics fulfil a condition, and gives them."""
        for _ in range(200):
            if condition(found := self.metrics()):
                return found
            time.sleep(0.05)
        raise AssertionError(f"it never came to that: {found}")


@contextmanager
def running(directory: Path, log: Path, *arguments: object) -> Iterator[RunningServer]:
    """Starts `optimum-cli dynexec serve`, and ends it."""
    command = [sys.executable, "-m", "tests.serving.cli", "serve", directory, "--port", 0, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as errors:
        process = subprocess.Popen([*map(str, command)], cwd=ROOT, stderr=errors, stdout=errors, env=environment)
    try:
        for _ in range(1200):
            lines = [line for line in log.read_text().splitlines() if "Serving" in line]
            if lines:
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield RunningServer(process, lines[0].split()[-1], log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def chat_export(tiny_export, tmp_path_factory) -> Path:
    """The export of a tiny Llama with a long context and a chat template. Its directory is named `tiny`."""
    for library in ("fastapi", "uvicorn", "prometheus_client", "llguidance", "openai"):
        pytest.importorskip(library, reason=REASON)
    from tests.tiny_models import build_tokenizer

    directory = tmp_path_factory.mktemp("chat") / "tiny"
    shutil.copytree(tiny_export("llama", max_position_embeddings=POSITIONS), directory)
    tokenizer = build_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    tokenizer.chat_template = None
    return directory


@pytest.fixture(scope="session")
def server(chat_export, tmp_path_factory) -> Iterator[RunningServer]:
    """A server without keys."""
    log = tmp_path_factory.mktemp("server") / "log"
    with running(chat_export, log, "--precision", "exact", "--log-level", "debug") as found:
        yield found


@pytest.fixture
def client(server):
    """A client of the official package."""
    return server.client()
