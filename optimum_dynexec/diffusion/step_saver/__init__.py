"""StepSaver (arXiv 2408.02054): predicts the number of steps that a prompt needs."""

from typing import TYPE_CHECKING

from ...utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .config import StepSaverConfig
    from .inference import StepPredictor
    from .labels import LABEL_RULES
    from .main import train_steps


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "config": ["StepSaverConfig"],
        "inference": ["StepPredictor"],
        "labels": ["LABEL_RULES"],
        "main": ["train_steps"],
    },
)
