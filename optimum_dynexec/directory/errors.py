"""Errors about what an exported directory holds."""


class ExportError(ValueError):
    """The export cannot be done as asked; the message is one line that says what to change."""


class CalibrationError(ValueError):
    """A model cannot be calibrated as asked; the message says what to change."""


class StaleCalibrationError(CalibrationError):
    """The model or its heads have changed since the calibration, so what it says does not apply."""


class TuningError(ValueError):
    """A model that cannot be tuned as asked; the message says why and what to do."""
