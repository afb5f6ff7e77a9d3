"""Diffusion pipelines that skip the denoising work that an image does not need."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .config import DynExecDiffusionConfig
    from .errors import NonFiniteOutputError, UnsupportedSchedulerError
    from .pipelines import (
        DynExecDiffusionPipeline,
        DynExecPipelineForImage2Image,
        DynExecPipelineForInpainting,
        DynExecPipelineForText2Image,
    )
    from .policies.adaptive_guidance import AdaptiveGuidanceConfig
    from .policies.convergence import ConvergenceConfig
    from .policies.step_reuse import StepReuseConfig
    from .statistics import DiffusionStats, PolicyStats


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "config": ["DynExecDiffusionConfig"],
        "errors": ["NonFiniteOutputError", "UnsupportedSchedulerError"],
        "pipelines": [
            "DynExecDiffusionPipeline",
            "DynExecPipelineForImage2Image",
            "DynExecPipelineForInpainting",
            "DynExecPipelineForText2Image",
        ],
        "policies.adaptive_guidance": ["AdaptiveGuidanceConfig"],
        "policies.convergence": ["ConvergenceConfig"],
        "policies.step_reuse": ["StepReuseConfig"],
        "statistics": ["DiffusionStats", "PolicyStats"],
    },
)
