"""
Exit heads of encoders, vision and audio models. Each recipe is a file here and a line in `train.py` and in
`arguments.py`.
"""

from typing import TYPE_CHECKING

from ...utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .arguments import EncoderTrainingArguments
    from .shape import HeadOptions
    from .train import TrainedExit, train_encoder_heads


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "arguments": ["EncoderTrainingArguments"],
        "shape": ["HeadOptions"],
        "train": ["TrainedExit", "train_encoder_heads"],
    },
)
