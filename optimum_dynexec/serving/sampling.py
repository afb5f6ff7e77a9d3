"""From the fields of a request to the arguments of `generate`."""

import secrets
from collections.abc import Mapping
from typing import Any

import torch
from transformers import LogitsProcessor

from .errors import invalid
from .requests import Generation


# Below this temperature, logits divided by it would overflow; the result is that of 0.
LEAST_TEMPERATURE = 0.01
SEEDS = 2**64


def sampling_arguments(request: Generation, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """
    Gives the arguments of `generate` that choose tokens.

    Args:
        request ([`~serving.requests.Generation`]): request.
        defaults (`Mapping[str, Any]`): what the model's `generation_config.json` sets.
    """

    def value(name: str, otherwise: Any) -> Any:
        asked = getattr(request, name)
        return asked if asked is not None else defaults.get(name, otherwise)

    arguments: dict[str, Any] = {
        "repetition_penalty": value("repetition_penalty", 1.0),
        "presence_penalty": request.presence_penalty or 0.0,
        "frequency_penalty": request.frequency_penalty or 0.0,
    }
    temperature = float(value("temperature", 1.0))
    if temperature < LEAST_TEMPERATURE:
        return {**arguments, "do_sample": False}
    arguments |= {"do_sample": True, "temperature": temperature, "top_p": float(value("top_p", 1.0))}
    arguments["top_k"] = max(value("top_k", 0), 0)
    if value("min_p", None):
        arguments["min_p"] = value("min_p", None)
    return arguments


def seeds(seed: int | None, count: int) -> list[int]:
    """
    The seed of each choice. Without a seed, they are drawn anew.

    Args:
        seed (`int`, *optional*): seed of the request. It may be negative.
        count (`int`): number of choices.
    """
    first = secrets.randbits(63) if seed is None else seed
    return [(first + index) % SEEDS for index in range(count)]


def read_logit_bias(bias: Mapping[str, float] | None, vocab_size: int) -> dict[int, float]:
    """
    Reads OpenAI's `logit_bias`.

    Args:
        bias (`Mapping[str, float]`, *optional*): numbers by token ids, which are strings in JSON.
        vocab_size (`int`): number of logits.

    Raises:
        [`~serving.errors.ApiError`]: with status 400 if a token does not exist.
    """
    read = {}
    for token, value in (bias or {}).items():
        if not (token.isascii() and token.isdigit() and len(token) < 10 and int(token) < vocab_size):
            raise invalid(
                f"`logit_bias` must have token ids from 0 to {vocab_size - 1}, got {token[:20]!r}.", "logit_bias"
            )
        read[int(token)] = value
    return read


class LogitBias(LogitsProcessor):
    """
    Adds numbers to logits.

    Args:
        bias (`Mapping[int, float]`): numbers by token ids.
    """

    def __init__(self, bias: Mapping[int, float]):
        self._tokens, self._values = torch.tensor(list(bias)), torch.tensor(list(bias.values()))

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        return scores.index_add(1, self._tokens, self._values[None].to(scores.dtype))
