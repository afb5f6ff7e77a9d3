"""What the steps ask of a kind of model."""

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
    """A kind of model: how its data is parted, how it is quantized and measured, what heads it has."""

    # As recipes call it.
    name: ClassVar[str]
    # As messages call a model of this kind.
    noun: ClassVar[str]
    # Fields of optimum-intel's quantization configuration, by the name of a format.
    formats: ClassVar[Mapping[str, dict[str, Any]]]
    # What a loss is a loss of, what it is called below 0, and what it is measured on.
    loss_name: ClassVar[str]
    gain_name: ClassVar[str] = ""
    loss_unit: ClassVar[str]

    @abstractmethod
    def split(self, sources: Sequence[str], directory: Path, args: OptimizeArguments) -> tuple[dict[str, str], int]:
        """Writes the user's data in parts; gives their file names by part, and how many inputs there are."""

    @abstractmethod
    def quantization_data(self, part: str, args: OptimizeArguments) -> "CalibrationData":
        """What a quantization is shown, a [`~quantization.CalibrationData`]."""

    @abstractmethod
    def losses(
        self, base: Path, others: Mapping[str, Path], part: str, args: OptimizeArguments, cache: Path
    ) -> dict[str, Loss]:
        """Loss of quantized models against the one in float32, by name."""

    @abstractmethod
    def runs(
        self, directories: Mapping[str, Path], part: str, args: OptimizeArguments, objective: str
    ) -> tuple[list[Any], Run]:
        """Items to measure on, and what runs a trial, whose option `format` names a directory, on one."""

    @abstractmethod
    def train(
        self, directory: Path, heads: Path, part: str, args: OptimizeArguments, progress: bool
    ) -> tuple[dict[Path, str], list[str]]:
        """
        Trains heads for a model; gives a line that says how good it is for the file of each, and further lines, of the
        full model say.
        """

    @abstractmethod
    def calibrate(
        self, directory: Path, part: str, epsilon: float, args: OptimizeArguments, progress: bool
    ) -> "Calibration | None":
        """
        Calibrates early exit, if the model has exits; `None` if it has none.

        Raises:
            [`~calibration.NoThresholdError`]: if no threshold holds the limit.
        """

    @abstractmethod
    def dynamic_options(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a benchmark is given for the options of a tuning; `None`: there is nothing dynamic."""

    def check(self, model: str, task: str, parts: Sequence[str], args: OptimizeArguments) -> None:
        """
        Checks the model against the data, in files for each part, before anything is exported.

        Raises:
            `ValueError`: if they do not fit, or the model cannot be optimized as asked.
        """
        if args.fine_tune:
            raise OptimizeError(f"`fine_tune` (--fine-tune) is for classifiers, but this model is {self.noun}")

    def fine_tune(self, model: str, output: Path, part: str, context: "Context") -> list[str]:
        """Trains a transformers model on labels; gives lines that say how good it is."""
        raise OptimizeError(f"{self.noun} cannot be fine-tuned")

    def baseline(self, directory: Path, part: str, args: OptimizeArguments) -> Mapping[str, Any] | None:
        """
        How good the model in float32 is: values that JSON can hold, and a `line` for people. `None` where only
        differences from it can be measured.

        Raises:
            [`OptimizeError`]: if nothing shows that the model is trained for the data.
        """
        return None

    def columns(self, args: OptimizeArguments) -> "Columns | None":
        """
        Where things stand in the rows of a part, a [`~data.samples.Columns`]. Parts are written in one way whatever
        the data was; `None`: there is nothing to say.
        """
        return None

    @abstractmethod
    def benchmark_samples(self, args: OptimizeArguments) -> int:
        """How many inputs a report is about at most, where nothing is asked for."""

    def benchmark_options(self, part: str) -> dict[str, Any]:
        """Further arguments of a benchmark on a part of the data."""
        return {}
