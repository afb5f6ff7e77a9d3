"""The classifiers to compare: optimum-intel's, and ours with and without early exit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from optimum.intel import OVModelForImageClassification, OVModelForSequenceClassification

from optimum_dynexec import (
    DynExecConfig,
    DynExecModelForImageClassification,
    DynExecModelForSequenceClassification,
    EarlyExitConfig,
)
from optimum_dynexec.benchmark.classification import Answer, timed_call
from optimum_dynexec.precision import FLOAT32_OV_CONFIG


CLASSES: dict[str, tuple[Any, Any]] = {
    "text-classification": (OVModelForSequenceClassification, DynExecModelForSequenceClassification),
    "image-classification": (OVModelForImageClassification, DynExecModelForImageClassification),
}
# No prediction stays the same over this many exits: each sample runs through all layers and all heads.
NEVER = EarlyExitConfig("patience", threshold=999)


@dataclass
class ClassificationSystem:
    """
    A model and the arguments of its calls.

    Args:
        name (`str`): name in the tables.
        model (`OVModelForSequenceClassification` or the like): loaded model.
        options (`dict[str, Any]`): arguments of the call.
    """

    name: str
    model: Any
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, batch: dict[str, np.ndarray]) -> Answer:
        """Runs a batch, with numpy inputs and outputs, which cost the least time on both sides."""
        return timed_call(self.model, batch, **self.options)


def load_systems(
    directory: Path, config: DynExecConfig, precision: str, criterion: str, thresholds: Sequence[float]
) -> list[ClassificationSystem]:
    """
    Loads the systems to compare. The first one is optimum-intel's.

    Args:
        directory (`Path`): directory of an export with exit heads.
        config ([`DynExecConfig`]): configuration of the export.
        precision (`str`): precision of both sides, `"exact"` or `"fast"`.
        criterion (`str`): criterion of early exit.
        thresholds (`Sequence[float]`): thresholds to try, each of them at all exits.
    """
    if config.task not in CLASSES:
        raise SystemExit(f"{directory} is for the task {config.task!r}, but this benchmark accepts {list(CLASSES)}")
    peer_class, own_class = CLASSES[config.task]
    ov_config = dict(FLOAT32_OV_CONFIG) if precision == "exact" else {}
    own = own_class.from_pretrained(directory, precision=precision)
    systems = [
        ClassificationSystem("optimum-intel", peer_class.from_pretrained(directory, ov_config=ov_config)),
        ClassificationSystem("dynexec, off", own, {"early_exit": None}),
        ClassificationSystem("dynexec, never exits", own, {"early_exit": NEVER}),
    ]
    if config.calibration is not None:
        systems.append(ClassificationSystem("dynexec, calibrated", own, {"early_exit": "calibrated"}))
    for threshold in thresholds:
        early_exit = EarlyExitConfig(criterion, threshold=threshold)
        systems.append(ClassificationSystem(f"dynexec, {criterion} {threshold:g}", own, {"early_exit": early_exit}))
    return systems
