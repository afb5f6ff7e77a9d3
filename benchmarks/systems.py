"""What a system under test is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimum_dynexec.benchmark.generation import Generation


@dataclass(frozen=True)
class Setting:
    """
    What all systems of a run have in common.

    Args:
        model (`Path`): directory with the OpenVINO model.
        draft (`Path`, *optional*): directory with the OpenVINO draft model.
        precision (`str`): `"exact"` or `"fast"`.
        eos_token_ids (`list[int]`): tokens that end an answer.
        prefix_caching (`bool`): leave openvino_genai's reuse of the KV cache of earlier requests on.
    """

    model: Path
    draft: Path | None
    precision: str
    eos_token_ids: list[int]
    prefix_caching: bool = False


class System(ABC):
    """
    One engine in one setting.

    Args:
        name (`str`): its name in the tables.
    """

    # The plain decoding whose greedy answers it should repeat.
    reference: str
    needs_draft = False
    # Name of a head that must stand beside the model.
    needs_head: str | None = None

    def __init__(self, name: str):
        self.name = name

    @abstractmethod
    def load(self, setting: Setting, shared: dict[Any, Any]) -> None:
        """Gets ready. What several systems can use is loaded once and kept in `shared`."""

    @abstractmethod
    def generate(self, ids: list[int], max_new_tokens: int) -> Generation:
        """Answers one prompt greedily."""
