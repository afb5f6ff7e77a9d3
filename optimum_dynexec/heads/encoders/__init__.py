"""
Training of exit heads for encoders and vision models. A recipe is a file here, and a line in `train.py` and in
`arguments.py`.
"""

from typing import TYPE_CHECKING

from ...utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .arguments import EncoderTrainingArguments
    from .samples import Columns, Samples, read_samples
    from .train import TrainedExit, train_encoder_heads


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "arguments": ["EncoderTrainingArguments"],
        "samples": ["Columns", "Samples", "read_samples"],
        "train": ["TrainedExit", "train_encoder_heads"],
    },
)
