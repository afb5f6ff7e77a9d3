"""Errors about exported directories."""


class ExportError(ValueError):
    """An export is not possible as requested; the message is one line that says what to change."""


class CalibrationError(ValueError):
    """A calibration is not possible as requested; the message says what to change."""


class StaleCalibrationError(CalibrationError):
    """The model or its heads have changed since the calibration, so it does not apply any more."""


class TuningError(ValueError):
    """A tuning is not possible as requested; the message says why and what to do."""
