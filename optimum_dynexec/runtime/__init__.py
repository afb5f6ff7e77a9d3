"""The engine: a decoder IR made ready for it, and the C++ decode loop that runs it."""

import openvino  # noqa: F401  (the extension links the libopenvino that this loads)

from .. import _C
from .paged import NotPageableError, to_paged
from .segments import cut


__all__ = ["_C", "NotPageableError", "cut", "to_paged"]
