"""Compiles models for the C++ engines that run them."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from ..native import _C
    from ..precision import FLOAT32_OV_CONFIG
    from .engine import Engine


__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"..native": ["_C"], "..precision": ["FLOAT32_OV_CONFIG"], "engine": ["Engine"]}
)
