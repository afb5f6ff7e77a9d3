"""Tuning: which way of running a model is fastest on its user's inputs and machine."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .arguments import TuningArguments
    from .errors import TuningError
    from .main import tune
    from .tuning import Tuning, load_tuning


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "arguments": ["TuningArguments"],
        "errors": ["TuningError"],
        "main": ["tune"],
        "tuning": ["Tuning", "load_tuning"],
    },
)
