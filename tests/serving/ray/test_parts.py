"""What needs no Ray that runs: sockets, prefixes, the order of replicas, answers of replicas that end."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter

import pytest


pytest.importorskip("ray", reason="the packages of the extra [ray] are not installed: make venv")

from optimum_dynexec.serving.ray.arguments import RayArguments
from optimum_dynexec.serving.ray.forwarding import prefix_of
from optimum_dynexec.serving.ray.ingress import ATTEMPTS, Ingress
from optimum_dynexec.serving.ray.routing import preferred
from optimum_dynexec.serving.ray.sockets import pin, sockets


# ---- sockets --------------------------------------------------------------------------------------------------------

PIN = """
import os, sys, threading, time
from pathlib import Path
from optimum_dynexec.serving.ray.sockets import pin

threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
found = pin(Path(sys.argv[1]))
threads = {tuple(sorted(os.sched_getaffinity(int(t)))) for t in os.listdir("/proc/self/task")}
print(None if found is None else found.number, threads, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def two_sockets(tmp_path):
    """The topology of a machine that has each processor on a socket of its own."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("there is one processor")
    for number, cpu in enumerate(sorted(os.sched_getaffinity(0))):
        (tmp_path / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "topology" / "physical_package_id").write_text(f"{min(number, 1)}\n")
    return tmp_path


def test_each_replica_takes_a_socket_that_is_free(two_sockets):
    expected = sockets(two_sockets)
    assert list(expected) == [0, 1]
    processes = []

    def start():
        command = [sys.executable, "-c", PIN, str(two_sockets)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=os.getcwd())
        processes.append(process)
        return process.stdout.readline().strip()

    try:
        for number in (0, 1):
            assert start() == f"{number} {{{tuple(sorted(expected[number]))!r}}}"
        assert start().startswith("None")  # all are taken
        processes[0].kill()
        processes[0].wait()
        assert start().startswith("0 ")  # however the other one ended
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_one_socket_is_left_alone(tmp_path):
    before = os.sched_getaffinity(0)
    assert sockets(tmp_path) == {0: frozenset(before)}
    assert pin(tmp_path) is None
    assert os.sched_getaffinity(0) == before


# ---- routing --------------------------------------------------------------------------------------------------------


def test_prompts_that_begin_alike_have_the_same_prefix():
    system = {"role": "system", "content": "Be brief. " * 40}

    def chat(text, **fields):
        return prefix_of(json.dumps({"messages": [system, {"role": "user", "content": text}], **fields}).encode())

    assert chat("one") == chat("two", temperature=1)
    assert chat("one") != chat("one", cache_salt="other")
    prompts = [prefix_of(json.dumps({"prompt": prompt}).encode()) for prompt in ("one", "two", [1, 2], [1, 3])]
    assert len(set(prompts)) == 4
    assert prefix_of(b"{") == prefix_of(b"[]") == prefix_of(b"\xff")


def test_a_prefix_prefers_a_replica_until_it_is_busy():
    idle = dict.fromkeys("abcd", 0)
    prefixes = [str(i).encode() for i in range(400)]
    first = {prefix: preferred(prefix, idle, 8)[0] for prefix in prefixes}
    assert min(Counter(first.values()).values()) > 50
    # A replica that goes takes only its own prefixes along.
    fewer = dict.fromkeys("abc", 0)
    assert all(preferred(p, fewer, 8)[0] == name for p, name in first.items() if name != "d")
    for prefix in prefixes[:20]:
        order = preferred(prefix, idle, 8)
        assert preferred(prefix, {**idle, order[0]: 8}, 8) == order
        assert preferred(prefix, {**idle, order[0]: 9}, 8) == [*order[1:], order[0]]


# ---- replicas that end ----------------------------------------------------------------------------------------------

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream; x")]}
PART = {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True}
END = {"type": "http.response.body", "body": b"data: [DONE]\n\n"}


class Replicas:
    """Stands for a handle. Each attempt gives its batches, and then the replica ends, if that is said."""

    def __init__(self, *attempts):
        self.attempts, self.asked, self.cancelled = list(attempts), 0, 0
        self.respond = self

    def options(self, stream):
        assert stream
        return self

    def remote(self, request):
        from ray.exceptions import ActorDiedError

        self.asked += 1
        batches = self.attempts.pop(0)
        owner = self

        class Response:
            async def __aiter__(self):
                for batch in batches:
                    if batch is None:
                        raise ActorDiedError()
                    yield batch

            def cancel(self):
                owner.cancelled += 1

        return Response()


def ask(replicas):
    """The messages that the client gets."""
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": [], "query_string": b""}
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(Ingress(replicas, 1000)(scope, receive, send))
    assert replicas.cancelled == replicas.asked
    return sent


@pytest.mark.parametrize("before", [[None], [[START], None]])
def test_a_request_that_has_not_begun_goes_to_another_replica(before):
    replicas = Replicas(before, [[START, PART], [END]])
    assert ask(replicas) == [START, PART, END]
    assert replicas.asked == 2


def test_a_stream_that_has_begun_ends_with_an_error():
    replicas = Replicas([[START, PART], None])
    *sent, last = ask(replicas)
    assert sent == [START, PART]
    assert not last["more_body"]
    event, done, rest = last["body"].split(b"\n\n")
    assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "replica_ended"
    assert (done, rest) == (b"data: [DONE]", b"")


def test_a_request_that_ends_every_replica_is_given_up():
    replicas = Replicas(*[[None]] * ATTEMPTS)
    start, body = ask(replicas)
    assert start["status"] == 503
    assert json.loads(body["body"])["error"]["code"] == "replica_ended"
    assert replicas.asked == ATTEMPTS


# ---- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"num_replicas": 0}, {"num_replicas": 3, "max_replicas": 2}, {"num_cpus": 0}, {"num_ingress": 0}]
)
def test_arguments_that_are_not_accepted(wrong):
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        RayArguments(**wrong)


def test_ray_that_is_missing_is_named(monkeypatch):
    import importlib.util

    from optimum_dynexec.serving import ServeError
    from optimum_dynexec.serving.ray import build_app, predict_files

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("optimum_dynexec.serving.errors.install_hint", lambda extra: f"pip install [{extra}]")
    for call in (lambda: build_app("x"), lambda: predict_files("x", "y", "z")):
        with pytest.raises(ServeError, match=r"ray, which is not installed: pip install \[ray\]"):
            call()


def test_importing_the_package_does_not_import_ray():
    code = "import sys, optimum_dynexec.serving.ray; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
