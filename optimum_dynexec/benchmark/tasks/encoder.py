"""Classifiers of texts and images: latency, accuracy, exit layers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...calibration.encoder import load_exits
from ...calibration.flops import exit_costs
from ...data.batches import lengths_of
from ...data.inputs import load_inputs, with_defaults
from ...data.samples import draw, read_samples
from ...directory.config import MODEL_CLASSES, DynExecConfig
from ...utils.intervals import proportion_interval
from ...utils.losses import NOTHING, accuracy_loss
from ..classification import batches_of, classification_figures, timed_call
from ..errors import BenchmarkError
from ..records import Records
from ..systems import System
from .base import BenchmarkTask, Column, Texts
from .options import early_exit_config


if TYPE_CHECKING:
    from ...early_exit.config import EarlyExitConfig
    from ..arguments import BenchmarkArguments


class EncoderBenchmark(BenchmarkTask):
    """Calls with batches of inputs that are already tokenized or scaled. They give logits."""

    texts = Texts(
        speed="samples/s",
        request="a call with one batch",
        loss="accuracy loss",
        loss_missing="",
        histogram="Exit layers",
        histogram_axis="exit layer",
        dynamic="early exit",
        gain="accuracy {:.2f} points higher",
        items="batches",
    )
    columns = (
        Column("accuracy", "accuracy", "{:.2%}", "share of samples with the correct label", "accuracy_interval"),
        Column(
            "agreement",
            "same as baseline",
            "{:.2%}",
            "share of samples with the answer of the plain first model",
            "agreement_interval",
        ),
        Column("samples", "samples", "{:d}", "number of samples that the quality is measured on"),
        Column("latency_ms", "mean ms", "{:.2f}", "mean latency of a call in milliseconds"),
        Column("latency_p99_ms", "p99 ms", "{:.2f}", "latency that 99% of calls stay below"),
        Column("mean_exit_layer", "mean exit layer", "{:.2f}", "mean exit layer of a sample, from 0"),
        Column("flops_share", "arithmetic", "{:.1%}", "share of the full model's operations, heads included"),
    )

    def __init__(self, models: Mapping[str, Path], data: Sequence[str], arguments: "BenchmarkArguments"):
        super().__init__(models, data, arguments)
        directory = self.models[self.baseline]
        self.config = DynExecConfig.from_pretrained(directory)
        read = read_samples(list(data), arguments.columns, split="test")
        self.samples = draw(read, arguments.max_samples, arguments.seed)
        self.labels = self.samples.label_ids(_label2id(directory))
        if self.labels is None:
            self.texts = replace(self.texts, loss="share of answers that differ from the baseline's", gain="")
        self.data_hash = self.samples.data_hash
        inputs, _ = load_inputs(directory, self.config.task)
        self._batches: dict[str, dict[str, np.ndarray]] = {}
        self._workloads: dict[str, list[str]] = {}
        # A batch cannot be larger than the number of samples.
        for size in dict.fromkeys(min(size, len(self.samples)) for size in arguments.batch_sizes):
            batches = batches_of(self.samples, inputs, size, arguments.max_length)
            named = {f"{size}/{index}": batch for index, batch in enumerate(batches)}
            self._batches.update(named)
            self._workloads[f"batch size {size}"] = list(named)
        self.items = list(self._batches)
        middle = self.samples.select([int(np.argsort(lengths_of(self.samples.inputs))[len(self.samples) // 2])])
        self._typical = with_defaults(inputs(middle, arguments.max_length))
        self._loaded: dict[str, Any] = {}
        self._costs: dict[str, dict[int, float]] = {}

    def load(self, systems: Sequence[System]) -> None:
        import optimum_dynexec

        cls = getattr(optimum_dynexec, f"DynExec{MODEL_CLASSES[self.config.task]}")
        for name, directory in self.models.items():
            self._loaded[name] = cls.from_pretrained(
                directory,
                precision=self.arguments.precision,
                device=self.arguments.device,
                ov_config=self.ov_config,
                # The benchmark runs all models with the requested settings, not with their tuned ones.
                tuned=False,
            )
        for system in systems:
            # Run once now, so that a missing calibration is reported before the measurements.
            self._loaded[system.model].early_exit = None
            self.run(system, self.items[0])

    def run(self, system: System, item: str, warm_up: bool = False, first: bool = True) -> dict[str, Any]:
        answer = timed_call(self._loaded[system.model], self._batches[item], early_exit=_early_exit(system))
        return {
            "seconds": answer.seconds,
            "predictions": answer.predictions.tolist(),
            "exit_layers": None if answer.exit_layers is None else answer.exit_layers.tolist(),
        }

    def work(self, record: dict[str, Any]) -> int:
        return len(record["predictions"])

    def warm_up_items(self) -> list[str]:
        return [items[0] for items in self._workloads.values() for _ in range(3)]

    def workloads(self) -> dict[str, list[str]]:
        return self._workloads

    def figures(self, system: System, items: Sequence[str], records: Records[dict[str, Any]]) -> dict[str, Any]:
        rows = [records.runs(system.name, item) for item in items]
        reference = [records.runs(f"{self.baseline}/off", item)[0]["predictions"] for item in items]
        layers = None
        if rows[0][0]["exit_layers"] is not None:
            layers = np.concatenate([runs[0]["exit_layers"] for runs in rows])
        predictions, expected = np.concatenate([runs[0]["predictions"] for runs in rows]), np.concatenate(reference)
        latency = 1e3 * np.array([np.median([run["seconds"] for run in runs]) for runs in rows])
        found = classification_figures(predictions, expected, self.labels, layers, latency)
        count, right = len(predictions), expected if self.labels is None else self.labels
        loss = accuracy_loss(expected == right, predictions == right)
        correct = int((predictions == right).sum())
        return {
            "speed": found["samples_per_second"],
            "latency_ms": found["mean_ms"],
            "latency_p99_ms": found["p99_ms"],
            **(NOTHING if system.plain and system.model == self.baseline else loss.figures()),
            "accuracy": found["accuracy"],
            "accuracy_interval": None if self.labels is None else list(proportion_interval(correct, count)),
            "agreement": found["agreement"],
            "agreement_interval": list(proportion_interval(int((predictions == expected).sum()), count)),
            "samples": count,
            "mean_exit_layer": None if layers is None else float(layers.mean()),
            "flops_share": None if layers is None else self._flops(system.model, found["exit_shares"]),
            "histogram": None if layers is None else self._histogram(layers),
            "warnings": [],
        }

    def _histogram(self, layers: np.ndarray) -> dict[str, int]:
        """The number of samples that left after each layer. Layers without such samples are included."""
        every = [*self.config.exit_layers, len(self.config.hidden_state_names) - 1]
        return {str(layer): int((layers == layer).sum()) for layer in sorted({*every, *layers.tolist()})}

    def _flops(self, name: str, shares: Mapping[int, float]) -> float:
        if name not in self._costs:
            self._costs[name] = _costs(self.models[name], self._typical)
        return float(sum(share * self._costs[name][layer] for layer, share in shares.items()))


def _costs(directory: Path, typical: Mapping[str, np.ndarray]) -> dict[int, float]:
    """The arithmetic until each exit as a share of the full model's, for a sample of median length."""
    model, config, heads = load_exits(directory)
    boundaries = {layer: config.hidden_state_names[layer] for layer in heads}
    shapes = {value.get_any_name(): typical[value.get_any_name()].shape for value in model.inputs}
    costs = exit_costs(model, boundaries, heads, shapes)
    return dict(zip([*heads, len(config.hidden_state_names) - 1], costs.tolist(), strict=True))


def _early_exit(system: System) -> "EarlyExitConfig | str | None":
    if system.plain:
        return None
    return "calibrated" if system.options is None else early_exit_config(system.options)


def _label2id(directory: Path) -> dict[str, int]:
    from transformers import AutoConfig

    labels = AutoConfig.from_pretrained(directory).label2id
    if not labels:
        raise BenchmarkError(f"{directory} has no label names: its config.json needs `label2id`")
    return labels
