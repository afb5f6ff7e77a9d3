"""Classes that replace `OVModelFor…`."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .causal_lm import DynExecGenerateOutput, DynExecModelForCausalLM
    from .continuous_batching import ContinuousBatchingManager, ContinuousBatchingMixin, DynExecGenerationOutput
    from .draft_guide import DraftGuide
    from .encoder_outputs import (
        DynExecFeatureExtractionOutput,
        DynExecImageClassifierOutput,
        DynExecQuestionAnsweringOutput,
        DynExecSequenceClassifierOutput,
        DynExecTokenClassifierOutput,
    )
    from .encoders import (
        DynExecModelForAudioClassification,
        DynExecModelForFeatureExtraction,
        DynExecModelForImageClassification,
        DynExecModelForQuestionAnswering,
        DynExecModelForSequenceClassification,
        DynExecModelForTokenClassification,
    )


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "causal_lm": ["DynExecGenerateOutput", "DynExecModelForCausalLM"],
        "continuous_batching": ["ContinuousBatchingManager", "ContinuousBatchingMixin", "DynExecGenerationOutput"],
        "draft_guide": ["DraftGuide"],
        "encoder_outputs": [
            "DynExecFeatureExtractionOutput",
            "DynExecImageClassifierOutput",
            "DynExecQuestionAnsweringOutput",
            "DynExecSequenceClassifierOutput",
            "DynExecTokenClassifierOutput",
        ],
        "encoders": [
            "DynExecModelForAudioClassification",
            "DynExecModelForFeatureExtraction",
            "DynExecModelForImageClassification",
            "DynExecModelForQuestionAnswering",
            "DynExecModelForSequenceClassification",
            "DynExecModelForTokenClassification",
        ],
    },
)
