"""Makes a page from the results of benchmarks."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .errors import ReportError
    from .main import write_report


__getattr__, __dir__, __all__ = lazy_exports(__name__, {"errors": ["ReportError"], "main": ["write_report"]})
