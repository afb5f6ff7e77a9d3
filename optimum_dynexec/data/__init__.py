"""Texts and samples: read from files or the Hub, made into a model's inputs, grouped into batches."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .continuations import ContinuationArguments
    from .samples import Columns, Samples, read_samples
    from .texts import read_texts


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "continuations": ["ContinuationArguments"],
        "samples": ["Columns", "Samples", "read_samples"],
        "texts": ["read_texts"],
    },
)
