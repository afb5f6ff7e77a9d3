"""The endpoints."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from ..version import __version__
from .base_service import BaseService
from .bodies import read_body, receive_body
from .endpoints import Endpoint, endpoints_of
from .errors import ApiError, server_error
from .guard import Guard, answer_error
from .keys import ApiKeys
from .requests import Strict


METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"
JSON = "application/json"


def make_app(service: BaseService, keys: ApiKeys) -> ASGIApp:
    """
    Makes the application.

    Args:
        service ([`BaseService`]): what all requests share.
        keys ([`ApiKeys`]): API keys.
    """
    # The pages that show the schema would load scripts from elsewhere.
    app = FastAPI(title="Optimum DynExec", version=__version__, docs_url=None, redoc_url=None)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(Exception, _on_any_error)
    created = int(time.time())
    about = {
        "id": service.name,
        "object": "model",
        "created": created,
        "owned_by": "optimum-dynexec",
        "max_model_len": service.max_model_len,
    }

    endpoints = endpoints_of(service)
    app.add_exception_handler(HTTPException, _on_http_error(service.what, endpoints))
    for endpoint in endpoints:
        _add(app, endpoint, service.arguments.max_body_bytes)

    @app.get("/v1/models", responses=_ERRORS)
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [about]}

    @app.get("/v1/models/{model:path}", responses=_ERRORS)
    async def model(model: str) -> dict[str, Any]:
        service.check_model(model)
        return about

    @app.get("/health", responses=_ERRORS)
    async def health() -> Response:
        return JSONResponse({"status": "stopping" if service.draining else "ok"}, 503 if service.draining else 200)

    @app.get("/metrics", responses=_ERRORS)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=METRICS_TYPE)

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            kinds = [(endpoint.body, "validation") for endpoint in endpoints]
            _, definitions = models_json_schema(kinds, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
            made.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
    return Guard(app, service, keys)


def _add(app: FastAPI, endpoint: Endpoint, max_body_bytes: int) -> None:
    @app.post(
        endpoint.path,
        openapi_extra=_takes(endpoint.body),
        responses=_ERRORS,
        operation_id=endpoint.body.__name__,
        summary=endpoint.body.__doc__,
    )
    async def respond(request: Request) -> Response:
        start = time.perf_counter()
        body = read_body(await receive_body(request, max_body_bytes), endpoint.body)
        return await endpoint.respond(body, request.state.tenant, start)


def _takes(kind: type[Strict]) -> dict[str, Any]:
    """The description of a body, which the endpoint reads itself: what is wrong with it has OpenAI's form."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "required": ["message", "type", "param", "code"]}},
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": "An error.", "content": {JSON: {"schema": _ERROR}}}
    for status in (400, 401, 404, 408, 413, 429, 500, 503, 504)
}


async def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return answer_error(error)


async def _on_any_error(_: Request, error: Exception) -> Response:
    """It is raised again after this answer, and the guard writes it to the log."""
    return answer_error(server_error())


def _on_http_error(what: str, endpoints: Sequence[Endpoint]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Of a path or a method that does not exist."""
    paths = ", ".join(endpoint.path for endpoint in endpoints)

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path[:200]
        messages = {
            404: f"There is no {path}: this server has a model for {what}, with {paths}; see /openapi.json.",
            405: f"{path} does not take {request.method}.",
        }
        message = messages.get(error.status_code, str(error.detail))
        return answer_error(ApiError(error.status_code, message, headers=error.headers))

    return answer
