"""A replica behind the ingress, on a Ray that runs on this machine."""

import pytest


pytest.importorskip("ray", reason="the packages of the extra [ray] are not installed: make venv")

from optimum_dynexec.serving import ServeArguments, ServeError
from optimum_dynexec.serving.ray import RayArguments, build_app
from tests.serving.ray.conftest import serving


CHAT = [{"role": "user", "content": "The quick brown fox"}]


@pytest.fixture(scope="module")
def served(chat_export, local_ray):
    with serving(
        build_app(chat_export, ServeArguments(precision="exact", max_body_bytes=4096), RayArguments(num_cpus=0.5))
    ) as found:
        yield found


def test_answers_streams_and_errors(served, tiny_model):
    import httpx
    import openai

    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60.0)
    assert [model.id for model in client.models.list().data] == ["tiny"]
    arguments = {"model": "tiny", "messages": CHAT, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**arguments).choices[0].message.content
    chunks = list(client.chat.completions.create(**arguments, stream=True))
    assert len(chunks) > 2
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole != ""
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(**{**arguments, "temperature": 9})
    for path, body, status in [
        ("/v1/nowhere", b"", 404),
        ("/v1/completions", b"x" * 5000, 413),
        ("/v1/completions", b"{", 400),
        ("/metrics", b"", 404),
    ]:
        response = httpx.post(served.url + path, content=body)
        assert response.status_code == status
        assert response.json()["error"]["message"]
    assert httpx.get(served.url + "/health").json() == {"status": "ok"}


def test_a_client_that_leaves_ends_the_request(served):
    import time

    import httpx
    from ray import serve

    body = {"model": "tiny", "prompt": "fox", "max_tokens": 8000, "stream": True, "logit_bias": {"2": -100}}
    with httpx.stream("POST", served.url + "/v1/completions", json=body, timeout=60.0) as response:
        next(response.iter_lines())
    replica = serve.get_deployment_handle("Replica", "dynexec").options(stream=True)
    from optimum_dynexec.serving.ray.forwarding import forwarded

    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "query_string": b""}
    for _ in range(100):
        batches = list(replica.respond.remote(forwarded(scope, b"")))
        text = b"".join(message.get("body", b"") for batch in batches for message in batch).decode()
        if 'vllm:num_requests_running{model_name="tiny"} 0.0' in text and "abort" in text:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(text)


def test_host_and_port_belong_to_ray(chat_export):
    with pytest.raises(ServeError, match="`host` and `port`"):
        build_app(chat_export, ServeArguments(port=1))


def test_the_builder_takes_texts(chat_export):
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build

    from optimum_dynexec.serving.ray import app

    made = build(app, {"directory": str(chat_export), "num_replicas": "2", "max_replicas": "3", "max_running": "5"})
    replicas = made._bound_deployment.init_args[0]._bound_deployment
    config = replicas._deployment_config
    assert replicas.init_args[1].max_running == 5
    assert (config.autoscaling_config.min_replicas, config.autoscaling_config.max_replicas) == (2, 3)
    assert config.autoscaling_config.target_ongoing_requests == 5
    with pytest.raises(ValueError, match="nonsense"):
        build(app, {"directory": str(chat_export), "nonsense": "2"})
