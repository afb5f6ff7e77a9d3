"""Speculative decoding: configuration and statistics. The loop itself is C++, in `csrc/runtime`."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .config import SpeculationConfig
    from .stats import GenerationStats, ProposerStats


__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"config": ["SpeculationConfig"], "stats": ["GenerationStats", "ProposerStats"]}
)
