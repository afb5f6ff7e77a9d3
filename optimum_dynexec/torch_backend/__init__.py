"""The reference implementation in torch and transformers: what the OpenVINO engine computes, in a few plain lines.

For checking, and for machines that OpenVINO has no device for. docs/torch.md says how it is used.
"""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .causal_lm import TorchDynExecModelForCausalLM
    from .encoders import (
        TorchDynExecModelForAudioClassification,
        TorchDynExecModelForImageClassification,
        TorchDynExecModelForQuestionAnswering,
        TorchDynExecModelForSequenceClassification,
        TorchDynExecModelForTokenClassification,
    )


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "causal_lm": ["TorchDynExecModelForCausalLM"],
        "encoders": [
            "TorchDynExecModelForAudioClassification",
            "TorchDynExecModelForImageClassification",
            "TorchDynExecModelForQuestionAnswering",
            "TorchDynExecModelForSequenceClassification",
            "TorchDynExecModelForTokenClassification",
        ],
    },
)
