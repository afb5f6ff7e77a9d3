"""The context that the steps share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import OptimizeArguments
from .recipes import RECIPES, Recipe


if TYPE_CHECKING:
    from .kinds import Kind


@dataclass
class Context:
    """
    The context that the steps share.

    Args:
        model (`str`): model to optimize: an id, a directory of transformers, or an export.
        output (`Path`): directory for all results.
        data (`list[str]`): data of the user.
        args ([`OptimizeArguments`]): goal, limits and data.
        task (`str`): task of the model.
        kind ([`~optimize.kinds.Kind`]): kind of the model.
        say (`Callable`): function that shows a line during the run.
        found (`dict[str, dict[str, Any]]`): results of the steps so far, by name.
        progress (`bool`): whether the steps show progress bars.
    """

    model: str
    output: Path
    data: list[str]
    args: OptimizeArguments
    task: str
    kind: "Kind"
    say: Callable[[str], None]
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    progress: bool = True

    @property
    def recipe(self) -> Recipe:
        """The recipe of the optimization."""
        return RECIPES[self.args.recipe]

    @property
    def fine_tuned(self) -> Path:
        """The transformers model that was fine-tuned, if that was asked for."""
        return self.output / "fine-tuned"

    @property
    def source(self) -> str:
        """The model that is exported."""
        return str(self.fine_tuned) if self.found["fine-tune"].get("place") else self.model

    @property
    def base(self) -> Path:
        """The export in float32."""
        return self.output / "base"

    @property
    def quantized(self) -> Path:
        """The directory of quantized exports, each in a directory with the name of its format."""
        return self.output / "quantized"

    @property
    def heads(self) -> Path:
        """The directory of trained heads."""
        return self.output / "heads"

    @property
    def result(self) -> Path:
        """The directory of the resulting model."""
        return self.output / "model"

    @property
    def reference(self) -> Path:
        """The model in float32 with the same heads."""
        return self.output / "reference"

    def part(self, name: str) -> str:
        """A part of the data: `"train"`, `"calibrate"` or `"test"`."""
        return str(self.output / self.found["data"]["parts"][name])
