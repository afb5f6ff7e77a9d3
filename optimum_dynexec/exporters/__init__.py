"""Export to an optimum-intel directory that also carries what dynamic execution needs."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .annotate import annotate_export
    from .boundaries import find_layer_boundaries
    from .encoder_boundaries import find_encoder_boundaries
    from .errors import ExportError, NotPageableError, NotSegmentableError
    from .main import export_dynexec
    from .marking import mark_boundaries, read_boundaries
    from .single_ir import export_single_ir


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "annotate": ["annotate_export"],
        "boundaries": ["find_layer_boundaries"],
        "encoder_boundaries": ["find_encoder_boundaries"],
        "errors": ["ExportError", "NotPageableError", "NotSegmentableError"],
        "main": ["export_dynexec"],
        "marking": ["mark_boundaries", "read_boundaries"],
        "single_ir": ["export_single_ir"],
    },
)
