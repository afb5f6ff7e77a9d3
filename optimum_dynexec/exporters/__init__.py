"""Exports models to optimum-intel directories that also contain what dynamic execution needs."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from ..directory.errors import ExportError
    from ..directory.marking import mark_boundaries, read_boundaries
    from ..graph.boundaries import find_layer_boundaries
    from ..graph.encoder_boundaries import find_encoder_boundaries
    from ..graph.errors import NotPageableError, NotSegmentableError
    from .annotate import annotate_export
    from .main import export_dynexec
    from .single_ir import export_single_ir


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "..directory.errors": ["ExportError"],
        "..directory.marking": ["mark_boundaries", "read_boundaries"],
        "..graph.boundaries": ["find_layer_boundaries"],
        "..graph.encoder_boundaries": ["find_encoder_boundaries"],
        "..graph.errors": ["NotPageableError", "NotSegmentableError"],
        "annotate": ["annotate_export"],
        "main": ["export_dynexec"],
        "single_ir": ["export_single_ir"],
    },
)
