"""Measures what dynamic execution, quantization and both together give."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .arguments import BenchmarkArguments
    from .errors import BenchmarkError
    from .main import run_benchmark


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {"arguments": ["BenchmarkArguments"], "errors": ["BenchmarkError"], "main": ["run_benchmark"]},
)
