"""The reference implementation in torch and transformers: the same results as the OpenVINO engine, in simple code.

It is a check of the engine, and it runs on devices that OpenVINO does not support. See docs/torch.md.
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
