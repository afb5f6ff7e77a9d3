"""Quantizes exported models with NNCF, through optimum-intel's OVQuantizer."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .accuracy import AccuracyControl
    from .data import CalibrationData
    from .errors import QuantizationError
    from .main import quantize_dynexec


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "accuracy": ["AccuracyControl"],
        "data": ["CalibrationData"],
        "errors": ["QuantizationError"],
        "main": ["quantize_dynexec"],
    },
)
