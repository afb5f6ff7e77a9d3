"""What should never happen is answered in OpenAI's form too, and tells nothing about the inside of the server."""

import asyncio
import logging
from types import SimpleNamespace

import pytest


SECRET = "text of a prompt"


@pytest.fixture
def get():
    """`get(path)`: the response of a server that cannot tell its metrics."""
    for library in ("fastapi", "prometheus_client", "llguidance"):
        pytest.importorskip(library, reason="the packages of the extra [serve] are not installed: make venv")
    import httpx

    from optimum_dynexec.serving.app import make_app
    from optimum_dynexec.serving.arguments import ServeArguments
    from optimum_dynexec.serving.base_service import BaseService
    from optimum_dynexec.serving.endpoints import endpoints_of
    from optimum_dynexec.serving.keys import ApiKeys

    def fail():
        raise RuntimeError(SECRET)

    class Stub(BaseService):
        what = "tests"

        def is_running(self):
            return True

    endpoints_of.register(Stub, lambda service: [])
    service = Stub("tiny", ServeArguments(), None, 1)
    service.metrics = SimpleNamespace(text=fail)
    app = make_app(service, ApiKeys())

    def ask(path):
        async def asking():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return await client.get(path)

        response = asyncio.run(asking())
        assert service.active == 0
        return response

    return ask


def test_an_unexpected_error(get, caplog):
    with caplog.at_level(logging.ERROR):
        response = get("/metrics")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert SECRET not in response.text
    # The log says what went wrong and where, without the message, which may have text of a prompt.
    assert "RuntimeError in GET /metrics" in caplog.text
    assert "in fail" in caplog.text
    assert SECRET not in caplog.text


def test_the_server_goes_on(get):
    get("/metrics")
    assert get("/v1/models").json()["data"][0]["id"] == "tiny"
