"""Timed calls of a classifier with batches, and the figures of many calls."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.samples import Samples


if TYPE_CHECKING:
    from optimum.intel.openvino.modeling_base import OVBaseModel

    from ..data.inputs import Inputs


@dataclass(frozen=True)
class Answer:
    """
    The answer of a classifier for a batch.

    Args:
        predictions (`np.ndarray` int64 `[batch]`): predicted labels.
        exit_layers (`np.ndarray` int64 `[batch]`, *optional*):
            Layers after which the samples left; `None` without early exit.
        seconds (`float`): time of the call in seconds.
    """

    predictions: np.ndarray
    exit_layers: np.ndarray | None
    seconds: float


def timed_call(model: "OVBaseModel", batch: dict[str, np.ndarray], **options: Any) -> Answer:
    """Runs a batch with numpy inputs and outputs, which cost the least time."""
    start = time.perf_counter()
    output = model(**batch, **options)
    seconds = time.perf_counter() - start
    layers = getattr(output, "exit_layer", None)
    return Answer(np.asarray(output.logits).argmax(-1), None if layers is None else np.asarray(layers), seconds)


def batches_of(samples: Samples, inputs: "Inputs", batch_size: int, max_length: int) -> list[dict[str, np.ndarray]]:
    """The samples as batches of model inputs, in order. Each batch is padded to its longest text."""
    starts = range(0, len(samples), batch_size)
    return [
        inputs(samples.select(range(start, min(start + batch_size, len(samples)))), max_length) for start in starts
    ]


def classification_figures(
    predictions: np.ndarray,
    reference: np.ndarray,
    labels: np.ndarray | None,
    layers: np.ndarray | None,
    latency_ms: np.ndarray,
) -> dict[str, Any]:
    """
    Computes the figures of a system.

    Args:
        predictions, reference, labels (`np.ndarray` int64 `[samples]`):
            Predictions of the system, those of the system that it is compared with, and the correct labels, if known.
        layers (`np.ndarray` int64 `[samples]`, *optional*): layers after which the samples left.
        latency_ms (`np.ndarray` float64 `[batches]`): time of each call in milliseconds.
    """
    return {
        "accuracy": None if labels is None else float((predictions == labels).mean()),
        "agreement": float((predictions == reference).mean()),
        "mean_ms": float(latency_ms.mean()),
        "p99_ms": float(np.percentile(latency_ms, 99)),
        "samples_per_second": float(1e3 * len(predictions) / latency_ms.sum()),
        "mean_layers": None if layers is None else float(layers.mean() + 1),
        "exit_shares": None if layers is None else exit_shares(layers),
    }


def exit_shares(layers: Sequence[int] | np.ndarray) -> dict[int, float]:
    """The share of samples that left after each layer."""
    found, counts = np.unique(layers, return_counts=True)
    return {int(layer): float(count / len(layers)) for layer, count in zip(found, counts, strict=True)}
