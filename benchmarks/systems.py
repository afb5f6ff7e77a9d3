"""The base class of systems under test."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimum_dynexec.benchmark.generation import Generation


@dataclass(frozen=True)
class Setting:
    """
    Settings that all systems of a run share.

    Args:
        model (`Path`): directory of the OpenVINO model.
        draft (`Path`, *optional*): directory of the OpenVINO draft model.
        precision (`str`): precision of our engine. The settings of openvino_genai name their own properties.
        eos_token_ids (`list[int]`): ids of the tokens that end an answer.
        prefix_caching (`bool`): whether openvino_genai reuses the KV cache of earlier requests.
        draft_vocabulary (`int`, *optional*): number of tokens that our draft model can propose.
    """

    model: Path
    draft: Path | None
    precision: str
    eos_token_ids: list[int]
    prefix_caching: bool = False
    draft_vocabulary: int | None = None


class System(ABC):
    """
    An engine with its settings.

    Args:
        name (`str`): name in the tables.
    """

    # The plain decoding whose greedy answers it should reproduce.
    reference: str
    needs_draft = False
    # Name of a head that the model needs.
    needs_head: str | None = None

    def __init__(self, name: str):
        self.name = name

    @abstractmethod
    def load(self, setting: Setting, shared: dict[Any, Any]) -> None:
        """Loads the system. Objects that several systems can use are loaded once and kept in `shared`."""

    @abstractmethod
    def generate(self, ids: list[int], max_new_tokens: int) -> Generation:
        """Answers one prompt greedily."""
