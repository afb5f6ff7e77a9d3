"""From the body of a request to its model; what is wrong with it in OpenAI's form."""

import asyncio
import json
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from .errors import ApiError, invalid
from .requests import Strict


Request = TypeVar("Request", bound=Strict)

# Seconds in which the body of a request must have come.
BODY_TIMEOUT = 30.0


async def receive_body(request: HttpRequest, limit: int) -> bytes:
    """
    Receives a body.

    Args:
        request (`starlette.requests.Request`): HTTP request.
        limit (`int`): maximum size in bytes.

    Raises:
        [`ApiError`]: with status 413 if the body is too large, with 408 if it does not come.
    """
    too_large = ApiError(413, f"The body is larger than {limit} bytes, which this server accepts.")
    length = request.headers.get("content-length", "")
    if length.isdigit() and len(length) < 20 and int(length) > limit:
        raise too_large

    async def read() -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
        return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), BODY_TIMEOUT)
    except asyncio.TimeoutError:
        raise ApiError(408, f"The body did not come within {BODY_TIMEOUT:g} seconds.") from None
    except ClientDisconnect:
        raise ApiError(400, "The body is not complete.") from None


def read_body(body: bytes, kind: type[Request]) -> Request:
    """
    Reads a body.

    Args:
        body (`bytes`): body of the HTTP request.
        kind (`type[Request]`): what it should be.

    Raises:
        [`ApiError`]: with status 400 if it is something else.
    """
    try:
        return kind.model_validate(_parse(body))
    except ValidationError as error:
        raise _explain(error) from None


def _parse(body: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        content = json.loads(body, parse_constant=refuse)
        # Half of a surrogate pair is valid in JSON, but it is no text.
        json.dumps(content, ensure_ascii=False).encode()
    except RecursionError:
        raise invalid("The body is nested too deeply.") from None
    except UnicodeEncodeError:
        raise invalid("The body has a string that is no Unicode text: a surrogate stands alone.") from None
    except ValueError as error:
        # The message of a decoder does not repeat the text.
        raise invalid(f"The body is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise invalid(f"The body must be a JSON object, got {type(content).__name__}.")
    return content


def _explain(error: ValidationError) -> ApiError:
    """
    The first problem. Of the alternatives of a union, the one whose problem lies deepest fits best, and one that has
    the right type fits better than others.
    """
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]["loc"][:1]
    same = [problem for problem in problems if problem["loc"][:1] == first]
    problem = max(same, key=lambda one: (len(one["loc"]), not one["type"].endswith("_type")))
    where = ".".join(str(part) for part in problem["loc"] if not _is_type_name(part)) or None
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return invalid(f"Unrecognized request argument supplied: {where}", where, "unknown_parameter")
    if problem["type"] == "missing":
        return invalid(f"Missing required parameter: '{where}'.", where, "missing_required_parameter")
    return invalid(f"Invalid value for '{where}': {message}." if where else f"{message}.", where, "invalid_value")


def _is_type_name(part: object) -> bool:
    """Whether a part of a place is not a field or an index, but pydantic's name of an alternative of a union."""
    return isinstance(part, str) and (part in ("str", "NamedTool") or any(mark in part for mark in "[(-"))
