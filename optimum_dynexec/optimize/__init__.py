"""Makes a model as fast as possible within a quality limit, in one call."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .arguments import OptimizeArguments
    from .errors import OptimizeError
    from .main import Optimized, optimize


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "arguments": ["OptimizeArguments"],
        "errors": ["OptimizeError"],
        "main": ["Optimized", "optimize"],
    },
)
