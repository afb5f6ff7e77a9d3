"""Errors of the server: those that end it, and those that it answers with."""

from collections.abc import Mapping
from typing import Any

from ..utils.installing import install_hint


class ServeError(ValueError):
    """A server that cannot start."""


def not_installed(library: str, extra: str = "serve") -> ServeError:
    """The error for a missing library of an extra."""
    return ServeError(f"the server needs {library}, which is not installed: {install_hint(extra)}")


class ApiError(Exception):
    """
    An answer that is an error, in OpenAI's form.

    Args:
        status (`int`): HTTP status.
        message (`str`): what is wrong, what is accepted and what to do.
        kind (`str`, *optional*, defaults to `"invalid_request_error"`): OpenAI's `type`.
        param (`str`, *optional*): the field of the request that is wrong.
        code (`str`, *optional*): OpenAI's `code`.
        headers (`Mapping[str, str]`, *optional*): headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The answer."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """
    The error for a request that cannot be answered as it is.

    Args:
        message (`str`): what is wrong, what is accepted and what to do.
        param (`str`, *optional*): the field of the request that is wrong.
        code (`str`, *optional*): OpenAI's `code`.
    """
    return ApiError(400, message, param=param, code=code)


def too_long(prompt_tokens: int, new_tokens: int, limit: int, param: str) -> ApiError:
    """
    The error for more tokens than the context has room for.

    Args:
        prompt_tokens (`int`): tokens of the prompt.
        new_tokens (`int`): tokens that were asked for.
        limit (`int`): maximum number of tokens of both.
        param (`str`): the field with the prompt.
    """
    return invalid(
        f"This model's maximum context length is {limit} tokens. However, you requested {prompt_tokens + new_tokens}"
        f" tokens ({prompt_tokens} in the prompt, {new_tokens} in the completion). Please reduce the length of the"
        " prompt or of the completion.",
        param,
        "context_length_exceeded",
    )


def server_error() -> ApiError:
    """The error for what should not have happened. It says nothing about the inside of the server."""
    return ApiError(500, "The server had an error while processing your request.", "server_error")


def timed_out(seconds: float) -> ApiError:
    """
    The error for a request that took too long.

    Args:
        seconds (`float`): the time that it was given.
    """
    return ApiError(
        504,
        f"The request took longer than {seconds:g} seconds: request fewer tokens, or start the server with a larger"
        " --request-timeout.",
        "timeout_error",
        code="request_timeout",
    )
