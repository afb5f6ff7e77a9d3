"""Whatever is sent, the answer is an error in OpenAI's form that says what to do, and never one of the server."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.conftest import POSITIONS


CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
GOOD = {
    CHAT: {"model": "tiny", "messages": [{"role": "user", "content": "fox"}], "max_tokens": 2},
    COMPLETIONS: {"model": "tiny", "prompt": "fox", "max_tokens": 2},
}
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def http(server):
    with server.http() as found:
        yield found


def is_error(response, status=None):
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "Traceback" not in response.text
    assert 400 <= response.status_code < 500
    assert status in (None, response.status_code)
    return error


BODIES = {
    "nothing": (b"", "not valid JSON"),
    "no JSON": (b"{", "not valid JSON"),
    "no object": (b"[1]", "must be a JSON object, got list"),
    "no text": (b'{"model": "\xff"}', "not valid JSON"),
    "half a character": (b'{"model": "tiny", "prompt": "\\ud800"}', "surrogate"),
    "NaN": (b'{"model": "tiny", "prompt": "a", "temperature": NaN}', "NaN"),
    "infinity": (b'{"model": "tiny", "prompt": "a", "temperature": 1e999}', "temperature"),
    "a long number": (b'{"model": "tiny", "prompt": "a", "seed": ' + b"9" * 5000 + b"}", "JSON"),
    "deep": (f'{{"model": "tiny", "prompt": {DEEP}'.encode(), "nested too deeply"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_no_requests(http, name):
    body, named = BODIES[name]
    response = http.post(COMPLETIONS, content=body, headers={"Content-Type": "application/json"})
    assert named in is_error(response, 400)["message"]


FIELDS = [
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": "fox"}, "messages"),
    (CHAT, {"messages": [{"role": "king", "content": "fox"}]}, "messages.0.role"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages.0"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.type"),
    (CHAT, {"model": None}, "model"),
    (CHAT, {"temperature": -1}, "temperature"),
    (CHAT, {"temperature": "hot"}, "temperature"),
    (CHAT, {"temperature": True}, "temperature"),
    (CHAT, {"top_p": 1.5}, "top_p"),
    (CHAT, {"n": 0}, "n"),
    (CHAT, {"n": 10**9}, "n"),
    (CHAT, {"n": 100}, "n"),
    (CHAT, {"max_tokens": -5}, "max_tokens"),
    (CHAT, {"max_tokens": 1.5}, "max_tokens"),
    (CHAT, {"stop": ["a"] * 5}, "stop"),
    (CHAT, {"stop": ""}, "stop"),
    (CHAT, {"logit_bias": {"350": 1}}, "logit_bias"),
    (CHAT, {"logit_bias": {"fox": 1}}, "logit_bias"),
    (CHAT, {"logit_bias": {"5": 101}}, "logit_bias.5"),
    (CHAT, {"top_logprobs": 2}, None),
    (CHAT, {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    (CHAT, {"stream_options": {"include_usage": True}}, None),
    (CHAT, {"tool_choice": "required"}, None),
    (CHAT, {"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools.0.function.name"),
    (CHAT, {"response_format": {"type": "xml"}}, "response_format.type"),
    (CHAT, {"response_format": {"type": "json_schema"}}, "response_format"),
    (CHAT, {"early_exit": "sometimes"}, "early_exit"),
    (CHAT, {"speculation": "wild"}, "speculation"),
    (CHAT, {"functions": []}, "functions"),
    (COMPLETIONS, {"prompt": ""}, "prompt"),
    (COMPLETIONS, {"prompt": []}, "prompt"),
    (COMPLETIONS, {"prompt": [350]}, "prompt"),
    (COMPLETIONS, {"prompt": [-1]}, "prompt.0"),
    (COMPLETIONS, {"prompt": [[3], []]}, "prompt.1"),
    (COMPLETIONS, {"prompt": ["a"] * 40}, "n"),
    (COMPLETIONS, {"prompt": {"text": "fox"}}, "prompt"),
    (COMPLETIONS, {"logprobs": 6}, "logprobs"),
    (COMPLETIONS, {"suffix": "end"}, "suffix"),
    (COMPLETIONS, {"best_of": 3}, None),
]


@pytest.mark.parametrize(("path", "change", "param"), FIELDS, ids=lambda value: str(value)[:40])
def test_fields_that_are_wrong_are_named(http, path, change, param):
    error = is_error(http.post(path, json={**GOOD[path], **change}), 400)
    assert error["param"] == param
    assert next(iter(change)) in error["message"]


def test_an_unsupported_schema_is_named(http):
    change = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}}
    error = is_error(http.post(CHAT, json={**GOOD[CHAT], **change}), 400)
    assert '"not"' in error["message"]
    assert error["param"] == "response_format"


def test_another_model(http):
    error = is_error(http.post(CHAT, json={**GOOD[CHAT], "model": "gpt-9"}), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "'tiny'" in error["message"]
    is_error(http.get("/v1/models/gpt-9"), 404)


def test_paths_and_methods_that_do_not_exist(http):
    is_error(http.get("/v1/embeddings"), 404)
    is_error(http.get(CHAT), 405)
    is_error(http.put("/health"), 405)


def test_too_many_tokens(http):
    """The message has both numbers."""
    error = is_error(http.post(CHAT, json={**GOOD[CHAT], "max_tokens": POSITIONS}), 400)
    assert error["code"] == "context_length_exceeded"
    prompt = len("user: fox\nassistant: ")
    assert str(POSITIONS) in error["message"]
    assert any(f"{POSITIONS + tokens} tokens ({tokens} in the prompt" in error["message"] for tokens in range(prompt))
    long = {**GOOD[COMPLETIONS], "prompt": [5] * (POSITIONS + 1)}
    assert is_error(http.post(COMPLETIONS, json=long), 400)["code"] == "context_length_exceeded"
    # Without a number, it is as many as there is room for.
    full = {"model": "tiny", "prompt": [5] * (POSITIONS - 2)}
    assert http.post(COMPLETIONS, json=full).json()["usage"]["completion_tokens"] <= 2


def test_the_directory_of_the_model_is_not_told(http, chat_export):
    response = http.post(CHAT, json={**GOOD[CHAT], "early_exit": "calibrated"})
    assert "is not calibrated" in response.text
    assert str(chat_export) not in response.text


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = """
    model messages prompt temperature top_p top_k min_p presence_penalty frequency_penalty repetition_penalty seed stop
    n max_tokens max_completion_tokens logprobs top_logprobs logit_bias stream stream_options tools tool_choice
    response_format echo user speculation early_exit cache_salt suffix best_of metadata
"""
names = st.sampled_from(NAMES.split())


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from([CHAT, COMPLETIONS]), changes=st.dictionaries(names, values, max_size=3))
def test_any_values_of_fields(http, path, changes):
    body = {**GOOD[path], **changes}
    length = body["max_tokens"]
    if length is None or (isinstance(length, int) and 20 < length < POSITIONS):
        body["max_tokens"] = 2  # a long answer would only take long
    response = http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    if response.status_code != 200:
        is_error(response)


def ask_all_operations(server, examples):
    """schemathesis makes requests from /openapi.json, right and wrong ones. Gives the paths."""
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checked = []
    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def ask(case):
            response = case.call(timeout=30)
            assert response.status_code < 500, response.text
            if response.status_code >= 400:
                assert set(response.json()["error"]) == {"message", "type", "param", "code"}
            checked.append(case.path)

        ask()
    return set(checked)


def test_the_schema_of_the_api_is_kept(server):
    assert {CHAT, COMPLETIONS, "/v1/models", "/health", "/metrics"} <= ask_all_operations(server, 15)


def test_the_server_is_still_there(http):
    assert http.post(CHAT, json=GOOD[CHAT]).status_code == 200
