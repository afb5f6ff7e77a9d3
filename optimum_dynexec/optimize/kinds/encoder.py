"""Classifiers of texts and images."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import openvino as ov

from ...directory.config import DynExecConfig
from ...tuning.halving import Measurement, Run, Trial
from ...utils.intervals import planned_samples
from ...utils.losses import Loss, accuracy_loss
from ..arguments import OptimizeArguments
from ..errors import OptimizeError
from ..splits import SHARES, parts_of, write_images, write_texts
from .base import Kind
from .training_state import check_model, fine_tune, judge_baseline


if TYPE_CHECKING:
    from ...data.samples import Columns, Samples
    from ...directory.calibration import Calibration
    from ...quantization import CalibrationData
    from ..context import Context


class Encoder(Kind):
    """Classifiers, which use early exit. Quantization and early exit share the limit."""

    name = "encoder"
    noun = "a classifier"
    loss_name = "accuracy loss or share of different answers"
    gain_name = "accuracy {:.2f} points higher"
    loss_unit = "samples"
    formats: ClassVar[Mapping[str, dict[str, Any]]] = {
        "int8-weights": {"bits": 8, "dtype": "int8", "weight_only": True},
        "int8": {"bits": 8, "dtype": "int8", "smooth_quant_alpha": 0.95},
    }

    def split(self, sources: Sequence[str], directory: Path, args: OptimizeArguments) -> tuple[dict[str, str], int]:
        from ...data.samples import read_samples
        from ...tuning.encoder import LEAST_SAMPLES

        samples = read_samples(sources, args.columns)
        # Tuning uses only the second part. Too few samples are reported now, not after the heads are trained.
        least = math.ceil(LEAST_SAMPLES / SHARES["calibrate"])
        parts = parts_of(len(samples), args.max_samples, args.seed, least)
        count = sum(map(len, parts.values()))
        return self.write(directory, samples, parts), count

    @abstractmethod
    def write(self, directory: Path, samples: "Samples", parts: dict[str, list[int]]) -> dict[str, str]:
        """Writes samples in parts. Returns the file names by part."""

    def check(self, model: str, task: str, parts: Sequence[str], args: OptimizeArguments) -> None:
        from ...data.samples import read_samples

        check_model(model, task, [read_samples([part], self.columns(args)) for part in parts], args)

    def fine_tune(self, model: str, output: Path, part: str, context: "Context") -> list[str]:
        columns = self.columns(context.args)
        return fine_tune(model, context.task, output, part, columns, context.args, context.progress)

    def baseline(self, directory: Path, part: str, args: OptimizeArguments) -> Mapping[str, Any] | None:
        from transformers import AutoConfig

        from ...data.samples import read_samples

        samples = read_samples([part], self.columns(args), split="validation")
        labels = samples.label_ids(AutoConfig.from_pretrained(directory).label2id)
        if labels is None:
            return None
        return judge_baseline((self._said(directory, samples, args) == labels).tolist(), labels.tolist(), args)

    def columns(self, args: OptimizeArguments) -> "Columns":
        from ...data.samples import Columns

        paired = args.columns is not None and args.columns.text_pair is not None
        return Columns(text_pair="text_pair") if paired else Columns()

    def quantization_data(self, part: str, args: OptimizeArguments) -> "CalibrationData":
        from ...quantization import CalibrationData

        return CalibrationData(
            [part],
            columns=self.columns(args),
            max_samples=args.quantization_samples,
            max_length=args.max_length,
            seed=args.seed,
        )

    def losses(
        self, base: Path, others: Mapping[str, Path], part: str, args: OptimizeArguments, cache: Path
    ) -> dict[str, Loss]:
        from transformers import AutoConfig

        from ...data.samples import read_samples

        samples = read_samples([part], self.columns(args), split="validation")
        labels = samples.label_ids(AutoConfig.from_pretrained(base).label2id)
        full = self._said(base, samples, args)
        right = full if labels is None else labels
        return {
            name: accuracy_loss(full == right, self._said(directory, samples, args) == right)
            for name, directory in others.items()
        }

    def _said(self, directory: Path, samples: "Samples", args: OptimizeArguments) -> np.ndarray:
        from ...precision import FLOAT32_OV_CONFIG
        from ...quantization.accuracy import said
        from ...quantization.data import encoder_inputs

        model = ov.Core().read_model(directory / "openvino_model.xml")
        task = DynExecConfig.from_pretrained(directory).task
        feeds = encoder_inputs(model, directory, task, samples, args.max_length)
        return said(ov.Core().compile_model(model, "CPU", FLOAT32_OV_CONFIG), feeds)

    def runs(
        self, directories: Mapping[str, Path], part: str, args: OptimizeArguments, objective: str
    ) -> tuple[list[Any], Run]:
        from ...tuning.arguments import TuningArguments
        from ...tuning.encoder import CHUNK, Bench

        tuning = TuningArguments(
            objective=objective,
            max_samples=8,
            max_length=args.max_length,
            columns=self.columns(args),
            seed=args.seed,
        )
        benches = {name: Bench(directory, [part], tuning) for name, directory in directories.items()}
        batch = 1 if objective == "latency" else CHUNK

        def run(trial: Trial, item: list[int]) -> Measurement:
            trial.options.update(load={"precision": "fast", "threads": None}, exit=None, batch=batch)
            return benches[trial.options["format"]].run(trial, item)

        return next(iter(benches.values())).chunks, run

    def train(
        self, directory: Path, heads: Path, part: str, args: OptimizeArguments, progress: bool
    ) -> tuple[dict[Path, str], list[str]]:
        from ...training import EncoderTrainingArguments, train_encoder_heads
        from ...training.encoder.scores import score_line

        trained = train_encoder_heads(
            directory,
            heads,
            task=DynExecConfig.from_pretrained(directory).task,
            data=[part],
            columns=self.columns(args),
            layers=args.layers,
            training_arguments=EncoderTrainingArguments(epochs=args.epochs, seed=args.seed),
            max_length=args.max_length,
            progress=progress,
        )
        lines = [score_line("full model", trained.full), *(f"warning: {line}" for line in trained.warnings)]
        return {head.path: score_line(head.name, head.scores) for head in trained.exits}, lines

    def calibrate(
        self, directory: Path, part: str, epsilon: float, args: OptimizeArguments, progress: bool
    ) -> "Calibration | None":
        from ...calibration import CalibrationArguments, EncoderRecordingArguments, calibrate_encoder
        from ...data.samples import read_samples

        if not DynExecConfig.from_pretrained(directory).heads:
            return None
        labels = read_samples([part], self.columns(args)).labels
        risk = "disagreement" if labels is None else "accuracy"
        return calibrate_encoder(
            directory,
            data=[part],
            recording=EncoderRecordingArguments(
                columns=self.columns(args), max_length=args.max_length, seed=args.seed
            ),
            args=CalibrationArguments(risk, epsilon=epsilon, delta=args.delta),
            progress=progress,
        )

    def benchmark_samples(self, args: OptimizeArguments) -> int:
        return planned_samples(args.max_loss)

    def dynamic_options(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        found = options.get("early_exit")
        return dict(found) if isinstance(found, dict) else None


class TextEncoder(Encoder):
    """Classifiers of texts, or of pairs of texts."""

    def write(self, directory: Path, samples: "Samples", parts: dict[str, list[int]]) -> dict[str, str]:
        wrong = next((value for value in samples.inputs if not isinstance(value, str)), None)
        if wrong is not None:
            raise OptimizeError(
                f"the model needs texts, but the data contains {type(wrong).__name__}: name the column of the texts"
                " with --text-column (`Columns(text=...)`)"
            )
        rows = [
            {
                "text": text,
                **({} if samples.pairs is None else {"text_pair": samples.pairs[index]}),
                **({} if samples.labels is None else {"label": samples.labels[index]}),
            }
            for index, text in enumerate(samples.inputs)
        ]
        return write_texts(directory, rows, parts)


class ImageEncoder(Encoder):
    """Classifiers of images."""

    def write(self, directory: Path, samples: "Samples", parts: dict[str, list[int]]) -> dict[str, str]:
        from ...data.inputs import as_image

        # Arrays are not converted, because an array of grey values is smaller than its image in RGB.
        images = [value if isinstance(value, np.ndarray) else np.asarray(as_image(value)) for value in samples.inputs]
        if len({image.shape for image in images}) > 1:
            raise OptimizeError("the images have different sizes: scale them to one size, for example in an .npz file")
        labels = None if samples.labels is None else list(samples.labels)
        return write_images(directory, images, labels, parts)
