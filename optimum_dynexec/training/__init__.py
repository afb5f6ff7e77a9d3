"""Trains heads: draft heads and exit heads of decoders, exit heads of encoders, vision and audio models."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .decoder.train import TrainedHead, train_heads
    from .decoder.trainer import TrainingArguments
    from .encoder.arguments import EncoderTrainingArguments
    from .encoder.shape import HeadOptions
    from .encoder.train import TrainedExit, train_encoder_heads


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "decoder.train": ["TrainedHead", "train_heads"],
        "decoder.trainer": ["TrainingArguments"],
        "encoder.arguments": ["EncoderTrainingArguments"],
        "encoder.shape": ["HeadOptions"],
        "encoder.train": ["TrainedExit", "train_encoder_heads"],
    },
)
