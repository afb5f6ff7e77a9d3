"""The systems that are compared: each model without and with dynamic execution."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .arguments import OFF, ON, BenchmarkArguments


@dataclass(frozen=True)
class System:
    """
    A model and a mode of execution.

    Args:
        model (`str`): name of the model.
        mode (`str`): `"off"`, `"on"` or the name of a variant.
        options (`dict[str, Any]`, *optional*): options of the call; `None` for the task's default, `{}` if the mode is
            `"off"`.
    """

    model: str
    mode: str
    options: dict[str, Any] | None = field(default=None, hash=False)

    @property
    def name(self) -> str:
        """The name in keys and tables."""
        return f"{self.model}/{self.mode}"

    @property
    def plain(self) -> bool:
        """Whether dynamic execution is off."""
        return self.mode == OFF


def make_systems(models: Iterable[str], arguments: BenchmarkArguments) -> list[System]:
    """All models in all modes. The other systems are compared with the first one."""
    modes = {OFF: {}, ON: arguments.dynamic, **arguments.variants}
    return [System(model, mode, options) for model in models for mode, options in modes.items()]
