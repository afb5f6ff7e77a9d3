"""The base class of draft sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ...native import _C


if TYPE_CHECKING:
    from typing_extensions import Self

    from ..arguments import SpeculationArguments


@dataclass(frozen=True)
class Request:
    """
    What a call asks for, and what the model has.

    Args:
        mode (`str`): requested mode: `"auto"` or the name of a draft source.
        arguments ([`SpeculationArguments`]): all arguments of the call for speculation.
        lookahead (`str`): what decides the draft length.
        has_draft_head (`bool`): whether the model was loaded with a draft head.
        exit_layers (`Sequence[int]`): layers after which the model was loaded with an exit head.
    """

    mode: str
    arguments: SpeculationArguments
    lookahead: str
    has_draft_head: bool = False
    exit_layers: Sequence[int] = ()


@dataclass(frozen=True)
class DraftParts:
    """
    The compiled parts that drafts are made with.

    Args:
        draft_head (`_C.Head`, *optional*): draft head of the model.
        exit_heads (`Mapping[int, _C.Head]`): exit heads of the model, by layer.
        segments (`Mapping[int, int]`): index of the segment that ends with a layer.
        draft_model (`_C.PagedModel`, *optional*): assistant model of the call.
        draft_vocabulary (`_C.DraftVocabulary`, *optional*): its words in terms of the model, if they differ.
        draft_name (`str`, *optional*): what identifies the assistant model in every process.
    """

    draft_head: _C.Head | None = None
    exit_heads: Mapping[int, _C.Head] = field(default_factory=dict)
    segments: Mapping[int, int] = field(default_factory=dict)
    draft_model: _C.PagedModel | None = None
    draft_vocabulary: _C.DraftVocabulary | None = None
    draft_name: str | None = None


class Proposer(ABC):
    """A draft source that a call uses. Instances hold its parameters; the loop that drafts is C++."""

    # The mode that asks for this source alone, and its name in the C++ registry and in statistics.
    name: ClassVar[str]
    # Whether transformers has this mode: drafts then have its fixed length unless the call says otherwise.
    fixed_length: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def requested(cls, request: Request) -> Sequence[Self]:
        """
        Reads from a call whether it uses this source; a source may be used more than once, as exit heads are.

        Raises:
            `ValueError`: if the call asks for this source and it is not there, or its arguments do not fit.
        """

    @abstractmethod
    def params(self, parts: DraftParts) -> _C.ProposerParams:
        """The parameters for the engine."""
