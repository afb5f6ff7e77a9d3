"""Heads: small networks that predict tokens from a backbone's hidden states."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .attach import attach_heads
    from .config import HeadConfig
    from .continuations import ContinuationArguments
    from .storage import load_head, save_head
    from .train import TrainedHead, train_heads
    from .trainer import TrainingArguments


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "attach": ["attach_heads"],
        "config": ["HeadConfig"],
        "continuations": ["ContinuationArguments"],
        "storage": ["load_head", "save_head"],
        "train": ["TrainedHead", "train_heads"],
        "trainer": ["TrainingArguments"],
    },
)
