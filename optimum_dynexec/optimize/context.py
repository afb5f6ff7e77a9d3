"""What the steps share."""

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
    What the steps share.

    Args:
        model (`str`): to optimize: an id, a directory of transformers, or an export.
        output (`Path`): where all is written.
        data (`list[str]`): of the user.
        args ([`OptimizeArguments`]): what for.
        task (`str`): of the model.
        kind ([`~optimize.kinds.Kind`]): of the model.
        say (`Callable`): shows a line while it runs.
        found (`dict[str, dict[str, Any]]`): what the steps so far have found, by their names.
        progress (`bool`): show progress bars of what the steps do.
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
        """What it is optimized for."""
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
        """Where quantized exports are, each in a directory of the name of its format."""
        return self.output / "quantized"

    @property
    def heads(self) -> Path:
        """Where trained heads are."""
        return self.output / "heads"

    @property
    def result(self) -> Path:
        """The model that comes of it all."""
        return self.output / "model"

    @property
    def reference(self) -> Path:
        """The model in float32 with the same heads."""
        return self.output / "reference"

    def part(self, name: str) -> str:
        """A part of the data: `"train"`, `"calibrate"` or `"test"`."""
        return str(self.output / self.found["data"]["parts"][name])
