"""The interface between the steps and a kind of model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...tuning.halving import Run
from ...utils.losses import Loss
from ..arguments import OptimizeArguments
from ..errors import OptimizeError


if TYPE_CHECKING:
    from ...data.samples import Columns
    from ...directory.calibration import Calibration
    from ...quantization import CalibrationData
    from ..context import Context


class Kind(ABC):
    """A kind of model: how its data is split, how the model is quantized and measured, and which heads it has."""

    # The name in recipes.
    name: ClassVar[str]
    # The name of a model of this kind in messages.
    noun: ClassVar[str]
    # Fields of optimum-intel's quantization configuration, by the name of a format.
    formats: ClassVar[Mapping[str, dict[str, Any]]]
    # The name of a loss, the name of a loss below 0, and the unit that a loss is measured on.
    loss_name: ClassVar[str]
    gain_name: ClassVar[str] = ""
    loss_unit: ClassVar[str]

    @abstractmethod
    def split(self, sources: Sequence[str], directory: Path, args: OptimizeArguments) -> tuple[dict[str, str], int]:
        """Writes the user's data in parts. Returns the file names by part, and the number of inputs."""

    @abstractmethod
    def quantization_data(self, part: str, args: OptimizeArguments) -> "CalibrationData":
        """The calibration data of a quantization, a [`~quantization.CalibrationData`]."""

    @abstractmethod
    def losses(
        self, base: Path, others: Mapping[str, Path], part: str, args: OptimizeArguments, cache: Path
    ) -> dict[str, Loss]:
        """The losses of quantized models relative to the model in float32, by name."""

    @abstractmethod
    def runs(
        self, directories: Mapping[str, Path], part: str, args: OptimizeArguments, objective: str
    ) -> tuple[list[Any], Run]:
        """Items to measure on, and a function that runs a trial on an item. The option `format` names a directory."""

    @abstractmethod
    def train(
        self, directory: Path, heads: Path, part: str, args: OptimizeArguments, progress: bool
    ) -> tuple[dict[Path, str], list[str]]:
        """
        Trains heads for a model. Returns a line about the quality of each head, by the head's file, and further lines,
        for example about the full model.
        """

    @abstractmethod
    def calibrate(
        self, directory: Path, part: str, epsilon: float, args: OptimizeArguments, progress: bool
    ) -> "Calibration | None":
        """
        Calibrates early exit, if the model has exits; `None` if it has none.

        Raises:
            [`~calibration.NoThresholdError`]: if no threshold is within the limit.
        """

    @abstractmethod
    def dynamic_options(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """The options of a benchmark for the options of a tuning; `None` without dynamic execution."""

    def check(self, model: str, task: str, parts: Sequence[str], args: OptimizeArguments) -> None:
        """
        Checks that the model fits the data, which is in a file for each part, before anything is exported.

        Raises:
            `ValueError`: if they do not fit, or the model cannot be optimized as requested.
        """
        if args.fine_tune:
            raise OptimizeError(
                f"`fine_tune` (--fine-tune) is only for classifiers, but this model is {self.noun}: leave it out"
            )

    def fine_tune(self, model: str, output: Path, part: str, context: "Context") -> list[str]:
        """Trains a transformers model on labels. Returns lines about the quality of the model."""
        raise OptimizeError(f"only classifiers can be fine-tuned, but this model is {self.noun}")

    def baseline(self, directory: Path, part: str, args: OptimizeArguments) -> Mapping[str, Any] | None:
        """
        Measures the quality of the model in float32. Returns JSON values with a `line` for the reader, or `None` if
        only differences from this model can be measured.

        Raises:
            [`OptimizeError`]: if the samples do not show that the model is trained for the data.
        """
        return None

    def columns(self, args: OptimizeArguments) -> "Columns | None":
        """
        The columns of the rows of a part, a [`~data.samples.Columns`]; `None` if the kind of model has no columns. The
        parts have the same columns for any data.
        """
        return None

    @abstractmethod
    def benchmark_samples(self, args: OptimizeArguments) -> int:
        """The default for the maximum number of inputs of a report."""

    def benchmark_options(self, part: str) -> dict[str, Any]:
        """Further arguments of a benchmark on a part of the data."""
        return {}
