"""Errors of calibration."""

from ..directory.errors import CalibrationError


class NoThresholdError(CalibrationError):
    """
    No threshold can be guaranteed with this much data; the message says why, and how much would do.

    Args:
        message (`str`): for people.
        needed (`int`, *optional*): about how many prompts it would take; `None` if no number would do.
    """

    def __init__(self, message: str, needed: int | None = None):
        super().__init__(message)
        self.needed = needed
