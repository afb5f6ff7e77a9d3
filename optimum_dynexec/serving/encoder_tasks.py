"""The kinds of requests that an encoder answers: what each runs, and how it is answered."""

import base64
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers.modeling_outputs import ModelOutput

from .encoder_requests import ClassifyRequest, EmbeddingRequest, RerankRequest
from .encoder_service import ClassifierService, EmbeddingService, EncoderService, Inputs


@dataclass(frozen=True)
class EncoderTask:
    """
    What a request asks to run.

    Args:
        id (`str`): name of the request in the log and in its answer.
        inputs (`Sequence[Mapping[str, list[int]]]`): inputs of each text by name.
        early_exit (`str`, *optional*): early exit, as in a call of the model.
        answer (`Callable`): makes the answer of the outputs.
    """

    id: str
    inputs: Sequence[Inputs]
    early_exit: str | None
    answer: Callable[[Sequence[ModelOutput]], dict[str, Any]]

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return sum(len(one["input_ids"]) for one in self.inputs)

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's `usage`."""
        return {"prompt_tokens": self.tokens, "total_tokens": self.tokens}


def exit_layer(output: ModelOutput) -> int | None:
    """
    The layer after which a text left.

    Args:
        output (`ModelOutput`): its output.

    Returns:
        `int`: index of the layer. `None` without early exit.
    """
    layer = output.get("exit_layer")
    return None if layer is None else int(layer[0])


async def embedding_task(service: EmbeddingService, request: EmbeddingRequest) -> EncoderTask:
    """
    Reads a request for embeddings.

    Args:
        service ([`~serving.encoder_service.EmbeddingService`]): what all requests share.
        request ([`~serving.encoder_requests.EmbeddingRequest`]): request.

    Raises:
        [`ApiError`]: if it cannot be answered.
    """
    service.check_model(request.model)
    service.check_dimensions(request.dimensions)

    def shown(embedding: np.ndarray) -> str | list[float]:
        if request.encoding_format == "base64":
            return base64.b64encode(embedding.astype("<f4").tobytes()).decode()
        return [float(value) for value in embedding]

    def item(index: int, output: ModelOutput) -> dict[str, Any]:
        embedding = service.pooling(np.asarray(output.last_hidden_state[0]), request.dimensions)
        return {"object": "embedding", "index": index, "embedding": shown(embedding), **_dynexec(output)}

    return await _listing(service, request, "embd", item)


async def classify_task(service: ClassifierService, request: ClassifyRequest) -> EncoderTask:
    """
    Reads a request for labels.

    Args:
        service ([`~serving.encoder_service.ClassifierService`]): what all requests share.
        request ([`~serving.encoder_requests.ClassifyRequest`]): request.

    Raises:
        [`ApiError`]: if it cannot be answered.
    """
    service.check_model(request.model)

    def item(index: int, output: ModelOutput) -> dict[str, Any]:
        probabilities = service.probabilities(output)
        return {
            "index": index,
            "label": service.label(int(probabilities.argmax())),
            "probs": probabilities.tolist(),
            "num_classes": len(probabilities),
            **_dynexec(output),
        }

    return await _listing(service, request, "classify", item)


async def rerank_task(service: ClassifierService, request: RerankRequest) -> EncoderTask:
    """
    Reads a request for the order of documents.

    Args:
        service ([`~serving.encoder_service.ClassifierService`]): what all requests share.
        request ([`~serving.encoder_requests.RerankRequest`]): request.

    Raises:
        [`ApiError`]: if it cannot be answered.
    """
    service.check_model(request.model)
    texts = request.texts
    inputs = [await service.prompts.inputs_of(request.query, text) for text in texts]
    service.check(inputs, "documents")

    def answer(outputs: Sequence[ModelOutput]) -> dict[str, Any]:
        scores = [float(service.probabilities(output)[0]) for output in outputs]
        best = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
        results: list[dict[str, Any]] = []
        for index in best[: request.top_n]:
            document = {} if request.return_documents is False else {"document": {"text": texts[index]}}
            score = {"index": index, "relevance_score": scores[index]}
            results.append({**score, **document, **_dynexec(outputs[index])})
        return {"id": task.id, "model": service.name, "results": results, "usage": task.usage}

    task = EncoderTask(_id("rerank"), inputs, service.early_exit(request.early_exit), answer)
    return task


async def _listing(
    service: EncoderService,
    request: EmbeddingRequest | ClassifyRequest,
    prefix: str,
    item: Callable[[int, ModelOutput], dict[str, Any]],
) -> EncoderTask:
    """A task whose answer is a list with an item for each text."""
    inputs = await service.inputs_of(request.input, "input")

    def answer(outputs: Sequence[ModelOutput]) -> dict[str, Any]:
        return {
            "id": task.id,
            "object": "list",
            "created": int(time.time()),
            "model": service.name,
            "data": [item(index, output) for index, output in enumerate(outputs)],
            "usage": task.usage,
        }

    task = EncoderTask(_id(prefix), inputs, service.early_exit(request.early_exit), answer)
    return task


def _id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def _dynexec(output: ModelOutput) -> dict[str, Any]:
    return {"dynexec": {"exit_layer": exit_layer(output)}}
