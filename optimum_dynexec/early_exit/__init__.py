"""Early exit, which is lossy: how a call leaves the model before its last layer, and the criteria for it."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .config import EarlyExitConfig
    from .criteria import Criterion, criterion_names, load_criterion
    from .encoder_stats import EncoderStats
    from .statistics import ExitStatistics


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "config": ["EarlyExitConfig"],
        "criteria": ["Criterion", "criterion_names", "load_criterion"],
        "encoder_stats": ["EncoderStats"],
        "statistics": ["ExitStatistics"],
    },
)
