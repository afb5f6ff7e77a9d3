"""Trains draft heads and exit heads of decoders on the model's own continuations."""

from typing import TYPE_CHECKING

from ...utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .train import TrainedHead, train_heads
    from .trainer import TrainingArguments


__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"train": ["TrainedHead", "train_heads"], "trainer": ["TrainingArguments"]}
)
