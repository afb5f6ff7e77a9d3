"""What is compared: each model, run plainly and dynamically."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .arguments import OFF, ON, BenchmarkArguments


@dataclass(frozen=True)
class System:
    """
    A model and how it is run.

    Args:
        model (`str`): its name.
        mode (`str`): `"off"`, `"on"` or the name of a variant.
        options (`dict[str, Any]`, *optional*): of the call; `None` for the task's default. Plain calls have none.
    """

    model: str
    mode: str
    options: dict[str, Any] | None = field(default=None, hash=False)

    @property
    def name(self) -> str:
        """In keys and tables."""
        return f"{self.model}/{self.mode}"

    @property
    def plain(self) -> bool:
        """Whether dynamic execution is off."""
        return self.mode == OFF


def make_systems(models: Iterable[str], arguments: BenchmarkArguments) -> list[System]:
    """All models in all modes; the first system is what the others are compared with."""
    modes = {OFF: {}, ON: arguments.dynamic, **arguments.variants}
    return [System(model, mode, options) for model in models for mode, options in modes.items()]
