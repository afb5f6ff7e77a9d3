"""From how a call wants to leave early to what the decode loop is asked to do."""

from pathlib import Path
from typing import Any

from ..calibration.freshness import load_calibration
from ..early_exit.config import EarlyExitConfig
from ..early_exit.criteria import load_criterion
from ..early_exit.criteria.classifier import ClassifierCriterion
from ..runtime import _C, Engine


def early_exit_params(early_exit: EarlyExitConfig | str, engine: Engine, directory: str | Path | None) -> Any:
    """
    Makes the parameters of the decode loop.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`] or `str`):
            When to leave, or `"calibrated"`.
        engine ([`~runtime.Engine`]):
            Whose exit heads decide.
        directory (`str` or `Path`, *optional*):
            Of the model: where its calibration and the learned weights of criteria are.

    Returns:
        `_C.EarlyExitParams`.

    Raises:
        `ValueError`: if the model has no exit heads, a threshold is for a layer without one, or weights that the
            criterion has learned are not there or for other exits.
        [`~calibration.CalibrationError`]: if there is no calibration, or not one of this model.
        `TypeError`: for an `early_exit` of another kind.
    """
    if early_exit == "calibrated":
        if directory is None:
            raise ValueError("`early_exit='calibrated'` needs a model that was loaded from a directory")
        calibration = load_calibration(directory)
        early_exit = EarlyExitConfig(criterion=calibration.criterion, thresholds=calibration.thresholds)
    if not isinstance(early_exit, EarlyExitConfig):
        raise TypeError(f"`early_exit` must be an EarlyExitConfig or 'calibrated', got {early_exit!r}")
    layers = list(engine.exit_heads)
    params = _C.EarlyExitParams()
    params.thresholds = early_exit.thresholds_for(layers)
    params.exits = [engine.exit(layer) for layer in layers]
    params.criterion = early_exit.criterion
    params.prefill = early_exit.prefill
    params.copy_kv = early_exit.kv == "copy"
    criterion = load_criterion(early_exit.criterion, directory)
    if isinstance(criterion, ClassifierCriterion):
        if list(criterion.layers) != layers:
            raise ValueError(
                f"the criterion 'classifier' was made for exits after layers {list(criterion.layers)}, but the model"
                f" has them after {layers}: make it anew with `optimum-cli dynexec calibrate --criterion classifier`"
            )
        params.weights, params.bias = criterion.weights.tolist(), criterion.bias.tolist()
    return params
