"""Calibration: finds thresholds of early exit with a bounded risk."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from ..directory.calibration import Calibration
    from ..directory.errors import CalibrationError, StaleCalibrationError
    from ..directory.freshness import check_fresh, load_calibration
    from .arguments import CalibrationArguments
    from .budget import calibrate_budget
    from .conformal import conformal_risk_control
    from .decoder import RecordingArguments, calibrate_decoder, record_decoder
    from .encoder import EncoderRecordingArguments, calibrate_encoder, record_encoder
    from .errors import NoThresholdError, TrainingDataError
    from .ltt import learn_then_test
    from .main import calibrate
    from .records import ExitRecords


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "arguments": ["CalibrationArguments"],
        "budget": ["calibrate_budget"],
        "..directory.calibration": ["Calibration"],
        "..directory.errors": ["CalibrationError", "StaleCalibrationError"],
        "..directory.freshness": ["check_fresh", "load_calibration"],
        "conformal": ["conformal_risk_control"],
        "decoder": ["RecordingArguments", "calibrate_decoder", "record_decoder"],
        "encoder": ["EncoderRecordingArguments", "calibrate_encoder", "record_encoder"],
        "errors": ["NoThresholdError", "TrainingDataError"],
        "ltt": ["learn_then_test"],
        "main": ["calibrate"],
        "records": ["ExitRecords"],
    },
)
