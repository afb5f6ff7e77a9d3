"""Heads: small networks that predict tokens or labels from a backbone's hidden states."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .config import DecoderHeadConfig, EncoderHeadConfig, HeadConfig
    from .storage import load_head, save_head


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {"config": ["DecoderHeadConfig", "EncoderHeadConfig", "HeadConfig"], "storage": ["load_head", "save_head"]},
    moved={
        "ContinuationArguments": "optimum_dynexec.data",
        "TrainedHead": "optimum_dynexec.training",
        "TrainingArguments": "optimum_dynexec.training",
        "attach_heads": "optimum_dynexec",
        "train_heads": "optimum_dynexec",
    },
)
