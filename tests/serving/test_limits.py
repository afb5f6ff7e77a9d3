"""Keys, limits, and the end of a server."""

import signal
import threading
import time

import pytest

from tests.serving.conftest import running
from tests.serving.test_server import ENDLESS, ask, complete
from tests.tiny_models import TEXT


KEYS = ("key-of-one", "key-of-two")


@pytest.fixture(scope="module")
def server(chat_export, tmp_path_factory):
    """A small server with keys. The last test ends it."""
    base = tmp_path_factory.mktemp("limits")
    (base / "keys").write_text("\n".join(KEYS) + "\n")
    (base / "keys").chmod(0o600)
    arguments = ["--api-key-file", base / "keys", "--max-running", 2, "--max-waiting", 1, "--request-timeout", 2]
    arguments += ["--served-model-name", "small", "--max-model-len", 6000, "--kv-cache-gb", 0.01]
    with running(chat_export, base / "log", "--precision", "exact", *arguments) as found:
        found.key = KEYS[0]
        yield found


def small(client, **arguments):
    return ask(client, model="small", **arguments)


def test_a_key_is_needed(server):
    import openai

    for key in ("wrong", "key-of-on", "key-of-one2"):
        with pytest.raises(openai.AuthenticationError) as caught:
            small(server.client(api_key=key))
        assert caught.value.body["code"] == "invalid_api_key"
    with server.http() as http:
        for path, status in (("/v1/models", 401), ("/metrics", 401), ("/v1/nothing", 401), ("/health", 200)):
            assert http.get(path, headers={"Authorization": ""}).status_code == status
        assert http.get("/v1/models", headers={"Authorization": f"Basic {KEYS[0]}"}).status_code == 401
    for key in KEYS:
        assert small(server.client(api_key=key)).choices


def test_a_key_sees_nothing_of_another(server):
    """Neither by the time, nor by the drafts."""
    prompt = " ".join(TEXT)

    def cached(key):
        usage = complete(server.client(api_key=key), model="small", prompt=prompt, temperature=0).usage
        return usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.accepted_prediction_tokens

    first, again, other = cached(KEYS[0]), cached(KEYS[0]), cached(KEYS[1])
    assert first[0] == other[0] == 0
    assert again[0] >= 32
    assert again[1] > max(first[1], other[1])


def test_the_context_is_as_long_as_was_asked_for(server):
    import openai

    client = server.client()
    assert client.models.retrieve("small").max_model_len == 6000
    with pytest.raises(openai.BadRequestError, match="maximum context length is 6000 tokens"):
        small(client, max_tokens=6000)


def test_a_body_has_a_limit(server):
    with server.http() as http:
        response = http.post("/v1/completions", content=b" " * (5 << 20))
        assert response.status_code == 413
        assert "larger than 4194304 bytes" in response.json()["error"]["message"]
        # Without a length, it is counted.
        response = http.post("/v1/completions", content=(b" " * (1 << 20) for _ in range(5)))
        assert response.status_code == 413


def test_a_request_that_takes_too_long_ends(server):
    import openai

    client, began = server.client(), time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        small(client, max_tokens=5900, **ENDLESS)
    assert (caught.value.status_code, caught.value.body["code"]) == (504, "request_timeout")
    assert 1.5 < time.monotonic() - began < 10
    # Within a stream, it is an event.
    with pytest.raises(openai.APIError, match="took longer than 2 seconds"):
        list(small(client, max_tokens=5900, stream=True, **ENDLESS))
    server.wait_until(lambda metrics: metrics["vllm:num_requests_running"] == 0)


def test_requests_wait_and_too_many_are_refused(server):
    import openai

    client = server.client()
    running = [small(client, max_tokens=5900, stream=True, **ENDLESS) for _ in range(2)]
    for stream in running:
        next(iter(stream))
    waited = []
    waiting = threading.Thread(target=lambda: waited.append(small(client, max_tokens=3)))
    waiting.start()
    server.wait_until(lambda metrics: metrics["vllm:num_requests_waiting"] == 1)
    with pytest.raises(openai.RateLimitError) as caught:
        small(client)
    assert caught.value.response.headers["Retry-After"] == "1"
    assert caught.value.body["code"] == "rate_limit_exceeded"
    # More choices than run together would wait for ever.
    with pytest.raises(openai.BadRequestError, match="3 choices, but this server generates 2 at a time"):
        small(client, n=3)
    running[0].response.close()
    waiting.join(20)
    assert waited[0].usage.completion_tokens == 3
    running[1].response.close()


def test_a_signal_ends_the_server_when_its_requests_have_ended(server):
    """The last test: the server is gone then."""
    client = server.client()
    server.wait_until(lambda metrics: metrics["vllm:num_requests_running"] == 0)
    stream = small(client, max_tokens=600, stream=True, **ENDLESS)
    chunks = [next(iter(stream))]
    server.process.send_signal(signal.SIGTERM)
    with server.http() as http:
        while (refused := http.get("/health")).status_code == 200:
            time.sleep(0.01)
        assert refused.json() == {"status": "stopping"}
        body = {"model": "small", "messages": [{"role": "user", "content": "fox"}]}
        refused = http.post("/v1/chat/completions", json=body)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "stopping"
    chunks += list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert server.process.wait(20) == 0
    assert "Answered" in server.log.read_text()
    assert KEYS[0] not in server.log.read_text()
