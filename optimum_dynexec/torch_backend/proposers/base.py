"""What a proposer is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from ...heads.modules import HeadModule
from ...speculative.config import SpeculationConfig
from ..decoder import Decoder
from ..verification import draw


@dataclass
class Draft:
    """
    Tokens that are proposed, each with the distribution that it was drawn from.

    Args:
        tokens (`list[int]`): the draft.
        distributions (`list[torch.Tensor]`): float64 `[vocab_size]`, as many.
    """

    tokens: list[int] = field(default_factory=list)
    distributions: list[torch.Tensor] = field(default_factory=list)


@dataclass
class Sources:
    """
    What proposers may draw on, for one sequence.

    Args:
        config ([`~speculative.SpeculationConfig`]): who proposes, how much.
        decoder ([`~torch_backend.decoder.Decoder`]): of the model itself.
        heads (`dict[int | None, HeadModule]`): of the model, by layer; `None` is the draft head's.
        assistant (`transformers.PreTrainedModel`, *optional*): the assistant model.
        distribution (`Callable`): from logits `[vocab_size]` and the tokens before to float64 `[vocab_size]`, with all
            processors.
        generator (`torch.Generator`): of the random numbers.
    """

    config: SpeculationConfig
    decoder: Decoder
    heads: dict[Any, HeadModule]
    assistant: Any
    distribution: Callable[[torch.Tensor, list[int]], torch.Tensor]
    generator: torch.Generator


class Proposer(ABC):
    """
    Proposes the next tokens of one sequence.

    Args:
        sources ([`Sources`]): what it may draw on.
    """

    name: ClassVar[str]

    def __init__(self, sources: Sources):
        self.sources = sources
        self.proposed = self.accepted = 0

    @classmethod
    @abstractmethod
    def wanted(cls, config: SpeculationConfig) -> bool:
        """Whether a call asks for it."""

    @abstractmethod
    def propose(self, tokens: list[int], limit: int) -> Draft:
        """
        Drafts.

        Args:
            tokens (`list[int]`): the sequence; its last token has not been run by the model.
            limit (`int`): most tokens to draft, at least 1.
        """

    @property
    def forwards(self) -> int:
        """Forward passes of its own model or head so far."""
        return 0

    def draft_with(self, tokens: list[int], limit: int, logits: Callable[[list[int]], torch.Tensor]) -> Draft:
        """
        Drafts token by token, until one is less probable than `assistant_confidence_threshold`.

        Args:
            tokens, limit: see [`propose`].
            logits (`Callable`): from what is drafted so far to the logits of what comes next.
        """
        draft = Draft()
        while len(draft.tokens) < limit:
            row = logits(draft.tokens)
            q = self.sources.distribution(row, [*tokens, *draft.tokens])
            token = draw(q, self.sources.generator)
            draft.tokens.append(token)
            draft.distributions.append(q)
            if row.double().softmax(-1)[token] < self.sources.config.assistant_confidence_threshold:
                break
        return draft
