"""Resolves `early_exit="calibrated"` for the model in a directory."""

from pathlib import Path

from ..early_exit.config import EarlyExitConfig
from .freshness import load_calibration


def resolve_early_exit(
    early_exit: EarlyExitConfig | str, directory: str | Path | None, precision: str | None = None
) -> EarlyExitConfig:
    """
    Replaces `"calibrated"` by the calibrated criterion and thresholds.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`] or `str`): criterion and thresholds, or `"calibrated"`.
        directory (`str` or `Path`, *optional*): directory of the model.
        precision (`str`, *optional*):
            Precision that the model computes in. If the calibration was made with another one, a warning says so.

    Raises:
        [`~directory.errors.CalibrationError`]: if there is no calibration, or it does not belong to this model.
        `ValueError`: if there is no directory.
        `TypeError`: if `early_exit` has another type.
    """
    if early_exit == "calibrated":
        if directory is None:
            raise ValueError("`early_exit='calibrated'` needs a model that was loaded from a directory")
        return load_calibration(directory, precision).early_exit()
    if not isinstance(early_exit, EarlyExitConfig):
        raise TypeError(f"`early_exit` must be an EarlyExitConfig or 'calibrated', got {early_exit!r}")
    return early_exit
