"""A request on its way from the ingress to a replica."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


# The length of a beginning, in characters of JSON: longer than greetings, shorter than most system prompts.
PREFIX = 256
# The fields with it.
BEGINNINGS = ("messages", "prompt", "input", "query")


@dataclass(frozen=True)
class Forwarded:
    """
    An HTTP request that has been received as a whole.

    Args:
        scope (`dict[str, Any]`): what ASGI tells about it.
        body (`bytes`): its body.
        prefix (`bytes`): stands for the beginning of its prompt; requests that may share a KV cache have the same.
    """

    scope: dict[str, Any]
    body: bytes
    prefix: bytes


# What applications read of a scope, and can be sent to another process.
FIELDS = ("type", "http_version", "method", "scheme", "path", "raw_path", "root_path", "query_string", "headers")


def forwarded(scope: Any, body: bytes) -> Forwarded:
    """
    Makes what is sent to a replica.

    Args:
        scope (`starlette.types.Scope`): what ASGI tells about the request.
        body (`bytes`): its body.
    """
    kept = {name: scope[name] for name in FIELDS if name in scope}
    kept["headers"] = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    return Forwarded({**kept, "asgi": {"version": "3.0"}}, body, prefix_of(body))


def prefix_of(body: bytes) -> bytes:
    """
    What stands for the beginning of a prompt.

    Args:
        body (`bytes`): body of a request. One that cannot be read is refused by the replica.
    """
    try:
        content = json.loads(body)
        beginning = next((content[name] for name in BEGINNINGS if content.get(name)), None)
        text = json.dumps([content.get("cache_salt"), json.dumps(beginning)[:PREFIX]])
    except (ValueError, AttributeError, RecursionError):
        text = ""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
