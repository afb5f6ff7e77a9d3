"""What a server of each kind of model answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from starlette.responses import Response

from .base_service import BaseService
from .encoder_requests import ClassifyRequest, EmbeddingRequest, RerankRequest
from .encoder_responses import EncodedResponse
from .encoder_service import ClassifierService, EmbeddingService
from .encoder_tasks import classify_task, embedding_task, rerank_task
from .requests import ChatRequest, CompletionRequest, Strict
from .responses import GeneratedResponse
from .service import Service
from .tasks import chat_task, completion_task


@dataclass(frozen=True)
class Endpoint:
    """
    A path that takes a body.

    Args:
        path (`str`): path.
        body (`type[Strict]`): what the body is.
        respond (`Callable`): makes the response, of the body, the name of the API key, and when the request came.
    """

    path: str
    body: type[Strict]
    respond: Callable[[Any, str, float], Awaitable[Response]]


@singledispatch
def endpoints_of(service: BaseService) -> list[Endpoint]:
    """
    The endpoints of a service.

    Args:
        service ([`BaseService`]): what all requests share.
    """
    raise TypeError(f"a {type(service).__name__} has no endpoints")


@endpoints_of.register
def _of_decoder(service: Service) -> list[Endpoint]:
    async def chat(body: ChatRequest, tenant: str, start: float) -> Response:
        return GeneratedResponse(service, *await chat_task(service, body, tenant), start)

    async def complete(body: CompletionRequest, tenant: str, start: float) -> Response:
        return GeneratedResponse(service, *await completion_task(service, body, tenant), start)

    return [
        Endpoint("/v1/chat/completions", ChatRequest, chat),
        Endpoint("/v1/completions", CompletionRequest, complete),
    ]


@endpoints_of.register
def _of_embeddings(service: EmbeddingService) -> list[Endpoint]:
    async def embed(body: EmbeddingRequest, _: str, start: float) -> Response:
        return EncodedResponse(service, await embedding_task(service, body), start)

    return [Endpoint("/v1/embeddings", EmbeddingRequest, embed)]


@endpoints_of.register
def _of_classifier(service: ClassifierService) -> list[Endpoint]:
    async def classify(body: ClassifyRequest, _: str, start: float) -> Response:
        return EncodedResponse(service, await classify_task(service, body), start)

    async def rerank(body: RerankRequest, _: str, start: float) -> Response:
        return EncodedResponse(service, await rerank_task(service, body), start)

    found = [Endpoint("/v1/classify", ClassifyRequest, classify)]
    if service.is_cross_encoder:
        found.append(Endpoint("/v1/rerank", RerankRequest, rerank))
    return found
