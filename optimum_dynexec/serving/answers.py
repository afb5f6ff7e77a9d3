"""An answer while it grows, in OpenAI's form: as a whole, or as chunks."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from ..version import __version__
from .choice import Choice, Piece


FINGERPRINT = f"dynexec-{__version__}"


class Answer(ABC):
    """
    The answer to one request.

    Args:
        model (`str`): name of the model.
        choices (`Sequence[Choice]`): the choices.
        include_usage (`bool`): whether the chunks end with the usage.
    """

    prefix: ClassVar[str]
    whole: ClassVar[str]
    part: ClassVar[str]

    def __init__(self, model: str, choices: Sequence[Choice], include_usage: bool):
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"
        self.choices = choices
        self._include_usage = include_usage
        self._common = {"created": int(time.time()), "model": model, "system_fingerprint": FINGERPRINT}

    def opening(self) -> list[dict[str, Any]]:
        """The first chunks."""
        return []

    @abstractmethod
    def add(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """
        Adds a piece.

        Args:
            index (`int`): index of the choice.
            piece ([`Piece`]): its next piece.

        Returns:
            `list[dict[str, Any]]`: the chunks that it makes.
        """

    @abstractmethod
    def finished(self) -> list[dict[str, Any]]:
        """The choices when all pieces have come."""

    def complete(self) -> dict[str, Any]:
        """The answer as a whole."""
        return {
            "id": self.id,
            "object": self.whole,
            **self._common,
            "choices": self.finished(),
            "usage": usage(self.choices),
        }

    def ending(self) -> list[dict[str, Any]]:
        """The last chunks."""
        if not self._include_usage:
            return []
        return [{"id": self.id, "object": self.part, **self._common, "choices": [], "usage": usage(self.choices)}]

    def chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A chunk with one choice."""
        no_usage: dict[str, Any] = {"usage": None} if self._include_usage else {}
        return {"id": self.id, "object": self.part, **self._common, "choices": [choice], **no_usage}


def usage(choices: Sequence[Choice]) -> dict[str, Any]:
    """
    OpenAI's `usage`. A prompt with several choices counts once.

    Args:
        choices (`Sequence[Choice]`): choices that have ended.
    """
    prompts = {id(choice.prompt): choice for choice in reversed(choices)}.values()
    prompt_tokens = sum(len(choice.prompt) for choice in prompts)
    completion_tokens = sum(choice.tokens for choice in choices)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(choice.cached_tokens for choice in prompts)},
        "completion_tokens_details": {"accepted_prediction_tokens": sum(choice.accepted_tokens for choice in choices)},
    }
