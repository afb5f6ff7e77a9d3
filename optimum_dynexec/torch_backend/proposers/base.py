"""The base class of proposers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch

from ...heads.modules import HeadModule
from ...speculative.config import SpeculationConfig
from ..decoder import Decoder
from ..verification import draw


if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class Draft:
    """
    Draft tokens, each with the distribution that it was drawn from.

    Args:
        tokens (`list[int]`): token ids of the draft.
        distributions (`list[torch.Tensor]`): distribution of each token, float64 `[vocab_size]`.
    """

    tokens: list[int] = field(default_factory=list)
    distributions: list[torch.Tensor] = field(default_factory=list)


@dataclass
class Sources:
    """
    What proposers may use for one sequence.

    Args:
        config ([`~speculative.SpeculationConfig`]): sources and length of drafts.
        decoder ([`~torch_backend.decoder.Decoder`]): decoder of the model itself.
        heads (`dict[int | None, HeadModule]`): heads of the model by layer; the draft head has the key `None`.
        assistant (`transformers.PreTrainedModel`, *optional*): assistant model.
        distribution (`Callable`):
            function from logits `[vocab_size]` and the tokens before to float64 `[vocab_size]`, with all processors.
        generator (`torch.Generator`): random generator.
    """

    config: SpeculationConfig
    decoder: Decoder
    heads: dict[int | None, HeadModule]
    assistant: "PreTrainedModel | None"
    distribution: Callable[[torch.Tensor, list[int]], torch.Tensor]
    generator: torch.Generator


class Proposer(ABC):
    """
    Proposes the next tokens of one sequence.

    Args:
        sources ([`Sources`]): what the proposer may use.
    """

    name: ClassVar[str]

    def __init__(self, sources: Sources):
        self.sources = sources
        self.proposed = self.accepted = 0

    @abstractmethod
    def propose(self, tokens: list[int], limit: int) -> Draft:
        """
        Proposes a draft.

        Args:
            tokens (`list[int]`): sequence, whose last token the model has not run.
            limit (`int`): maximum number of draft tokens, at least 1.
        """

    @property
    def forwards(self) -> int:
        """The number of forward passes of its own model or head so far."""
        return 0

    def draft_with(self, tokens: list[int], limit: int, logits: Callable[[list[int]], torch.Tensor]) -> Draft:
        """
        Drafts token by token, until a token is less probable than `assistant_confidence_threshold`.

        Args:
            tokens (`list[int]`): sequence, whose last token the model has not run.
            limit (`int`): maximum number of draft tokens, at least 1.
            logits (`Callable`): function from the draft so far to the logits of the next token.
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
