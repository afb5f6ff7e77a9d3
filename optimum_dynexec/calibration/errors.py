"""Errors of calibration."""

from ..directory.errors import CalibrationError


class NoThresholdError(CalibrationError):
    """
    No threshold can be guaranteed with this amount of data. The message says why, and how much data is needed.

    Args:
        message (`str`): error message.
        needed (`int`, *optional*): approximate number of prompts that are needed; `None` if no number suffices.
    """

    def __init__(self, message: str, needed: int | None = None):
        super().__init__(message)
        self.needed = needed


class TrainingDataError(CalibrationError):
    """The heads were trained on the texts that were given for the calibration."""
