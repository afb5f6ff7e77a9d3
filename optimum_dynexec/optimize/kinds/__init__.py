"""Kinds of models that can be optimized. A kind is a class and a line in the registry."""

from ...directory.config import DECODER_TASK
from ..errors import OptimizeError
from .base import Kind
from .decoder import Decoder
from .encoder import ImageEncoder, TextEncoder


KINDS: dict[str, type[Kind]] = {
    DECODER_TASK: Decoder,
    "text-classification": TextEncoder,
    "image-classification": ImageEncoder,
}


def kind_for(task: str) -> Kind:
    """
    Raises:
        [`OptimizeError`]: if models for the task cannot be optimized.
    """
    if task not in KINDS:
        raise OptimizeError(f"models for the tasks {list(KINDS)} can be optimized, but this model is for {task!r}")
    return KINDS[task]()


__all__ = ["KINDS", "Kind", "kind_for"]
