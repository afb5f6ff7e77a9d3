"""The compiled extension. OpenVINO is imported first, as the extension needs the library that it loads."""

import openvino  # noqa: F401

from . import _C


__all__ = ["_C"]
