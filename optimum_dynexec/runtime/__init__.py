"""The engine: a decoder IR made ready for it, and the C++ decode loop that runs it."""

import openvino  # the extension needs the libopenvino that this loads

from .. import _C
from ..precision import EXACT_OV_CONFIG
from .engine import Engine


__all__ = ["EXACT_OV_CONFIG", "_C", "Engine"]
