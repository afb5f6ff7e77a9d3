"""Input-dependent inference for Hugging Face models on OpenVINO.

Importing the package costs next to nothing: torch, transformers and openvino load with the first name that needs them.
"""

from typing import TYPE_CHECKING

from .utils import quiet
from .utils.lazy import lazy_exports
from .version import __version__


if TYPE_CHECKING:
    from .diffusion import (
        DynExecDiffusionConfig,
        DynExecDiffusionPipeline,
        DynExecPipelineForImage2Image,
        DynExecPipelineForInpainting,
        DynExecPipelineForText2Image,
    )
    from .directory import attach_heads
    from .directory.config import DynExecConfig
    from .early_exit import EarlyExitConfig
    from .exporters import export_dynexec
    from .modeling import (
        DynExecModelForAudioClassification,
        DynExecModelForCausalLM,
        DynExecModelForFeatureExtraction,
        DynExecModelForImageClassification,
        DynExecModelForQuestionAnswering,
        DynExecModelForSequenceClassification,
        DynExecModelForTokenClassification,
    )
    from .quantization import quantize_dynexec
    from .speculative import GenerationStats
    from .training import train_encoder_heads, train_heads


quiet.silence()
__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "directory": ["DynExecConfig", "attach_heads"],
        "diffusion": [
            "DynExecDiffusionConfig",
            "DynExecDiffusionPipeline",
            "DynExecPipelineForImage2Image",
            "DynExecPipelineForInpainting",
            "DynExecPipelineForText2Image",
        ],
        "early_exit": ["EarlyExitConfig"],
        "exporters": ["export_dynexec"],
        "modeling": [
            "DynExecModelForAudioClassification",
            "DynExecModelForCausalLM",
            "DynExecModelForFeatureExtraction",
            "DynExecModelForImageClassification",
            "DynExecModelForQuestionAnswering",
            "DynExecModelForSequenceClassification",
            "DynExecModelForTokenClassification",
        ],
        "quantization": ["quantize_dynexec"],
        "speculative": ["GenerationStats"],
        "training": ["train_encoder_heads", "train_heads"],
    },
    extra=["__version__"],
)
