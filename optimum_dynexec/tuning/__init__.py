"""Tuning: finds the fastest way to run a model on the user's inputs and machine."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from ..directory.errors import TuningError
    from ..directory.tuning import Tuning, load_tuning
    from .arguments import TuningArguments
    from .export_group import measure_group
    from .main import tune


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "..directory.errors": ["TuningError"],
        "..directory.tuning": ["Tuning", "load_tuning"],
        "arguments": ["TuningArguments"],
        "export_group": ["measure_group"],
        "main": ["tune"],
    },
)
