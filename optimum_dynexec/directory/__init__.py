"""An export directory: what it holds for dynamic execution, read and written whole."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .attached_heads import attach_heads
    from .calibration import Calibration
    from .config import DynExecConfig
    from .errors import CalibrationError, ExportError, StaleCalibrationError, TuningError
    from .freshness import check_fresh, load_calibration
    from .tuning import Tuning, load_tuning


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "attached_heads": ["attach_heads"],
        "calibration": ["Calibration"],
        "config": ["DynExecConfig"],
        "errors": ["CalibrationError", "ExportError", "StaleCalibrationError", "TuningError"],
        "freshness": ["check_fresh", "load_calibration"],
        "tuning": ["Tuning", "load_tuning"],
    },
)
