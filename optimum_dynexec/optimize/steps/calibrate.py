"""Calibrates early exit for the part of the limit that quantization has left."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...calibration.errors import NoThresholdError, TrainingDataError
from ...directory.config import DYNEXEC_CONFIG_NAME, DynExecConfig
from ...utils.intervals import interval_text
from ..context import Context


if TYPE_CHECKING:
    from ...directory.calibration import Calibration


def remaining_loss(context: Context) -> float:
    """The rest of the limit, 0 or more."""
    found = context.found["quantize"]
    return context.args.max_loss - max(found["losses"].get(found["chosen"], 0.0), 0.0)


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Calibrates the model, if it has exit heads."""
    _forget(context.result)
    left = remaining_loss(context)
    if not context.found["heads"]["heads"]:
        return {"calibrated": False}, ["calibrate: no exit heads"]
    if left <= 0:
        return {"calibrated": False}, ["calibrate: no early exit, because quantization has used up the limit"]
    try:
        found = context.kind.calibrate(context.result, context.part("calibrate"), left, context.args, context.progress)
    # Parts of data with many duplicates overlap.
    except (NoThresholdError, TrainingDataError) as error:
        return {"calibrated": False}, [f"calibrate: early exit refused: {error}"]
    if found is None:
        return {"calibrated": False}, ["calibrate: no exit heads"]
    return {"calibrated": True, "guarantee": found.guarantee, "mean_layers": found.mean_layers}, [
        f"calibrate: {found.guarantee}; measured risk {found.measured_risk:.2%}"
        f" ({interval_text(found.risk_interval)}); on average {found.mean_layers:.1f} of"
        f" {found.num_layers} layers" + _accuracy(found)
    ]


def _forget(directory: Path) -> None:
    """Removes the calibration of an earlier call, which this one may refuse, and the tuning that is based on it."""
    if not (directory / DYNEXEC_CONFIG_NAME).is_file():
        return
    config = DynExecConfig.from_pretrained(directory)
    if config.calibration is not None or config.tuning is not None:
        replace(config, calibration=None, tuning=None).save_pretrained(directory)


def _accuracy(found: "Calibration") -> str:
    if found.full_accuracy is None:
        return ""
    return f"; accuracy {found.accuracy:.2%}, full model {found.full_accuracy:.2%} ({found.num_texts} {found.unit})"
