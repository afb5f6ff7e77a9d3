"""What `early_exit="calibrated"` means for the model of a directory."""

from pathlib import Path

from ..early_exit.config import EarlyExitConfig
from .freshness import load_calibration


def resolve_early_exit(
    early_exit: EarlyExitConfig | str, directory: str | Path | None, precision: str | None = None
) -> EarlyExitConfig:
    """
    Replaces `"calibrated"` by what calibration has found.

    Args:
        early_exit ([`~early_exit.EarlyExitConfig`] or `str`): when to leave, or `"calibrated"`.
        directory (`str` or `Path`, *optional*): of the model.
        precision (`str`, *optional*): that it computes in; of a calibration with another one, a warning says so.

    Raises:
        [`~directory.errors.CalibrationError`]: if there is no calibration, or not one of this model.
        `ValueError`: if there is no directory to look in.
        `TypeError`: for an `early_exit` of another kind.
    """
    if early_exit == "calibrated":
        if directory is None:
            raise ValueError("`early_exit='calibrated'` needs a model that was loaded from a directory")
        calibration = load_calibration(directory, precision)
        return EarlyExitConfig(criterion=calibration.criterion, thresholds=calibration.thresholds)
    if not isinstance(early_exit, EarlyExitConfig):
        raise TypeError(f"`early_exit` must be an EarlyExitConfig or 'calibrated', got {early_exit!r}")
    return early_exit
