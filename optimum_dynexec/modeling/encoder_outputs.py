"""transformers' output types with what early exit has to add."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers.modeling_outputs import (
    BaseModelOutput,
    ImageClassifierOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from ..early_exit.encoder_stats import EncoderStats


class _EarlyExitOutput:
    # An attribute, and not a field: pipelines split all fields of an output by samples.
    dynexec: EncoderStats | None = None


@dataclass
class DynExecSequenceClassifierOutput(SequenceClassifierOutput, _EarlyExitOutput):
    """
    transformers' output with two more fields when early exit is used.

    Args:
        exit_layer (`torch.LongTensor` of shape `(batch_size,)`):
            layer after which each sample left, or the last layer of the model if it did not leave early.
        confidence (`torch.FloatTensor` of shape `(batch_size,)`): largest probability of the answer; of several,
            for tokens or for start and end, the smallest; for embeddings, the cosine with the previous exit. NaN where
            there is none.

    The attribute `dynexec`, which is no field, holds the [`~early_exit.encoder_stats.EncoderStats`] of the call;
    `None` without early exit, and in the outputs of a stream.
    """

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecTokenClassifierOutput(TokenClassifierOutput, _EarlyExitOutput):
    """See [`DynExecSequenceClassifierOutput`]. Logits of padding that was dropped on the way are 0."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecQuestionAnsweringOutput(QuestionAnsweringModelOutput, _EarlyExitOutput):
    """See [`DynExecSequenceClassifierOutput`]. Logits of padding that was dropped on the way are 0."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecFeatureExtractionOutput(BaseModelOutput, _EarlyExitOutput):
    """See [`DynExecSequenceClassifierOutput`]. Hidden states of padding that was dropped on the way are 0."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecImageClassifierOutput(ImageClassifierOutput, _EarlyExitOutput):
    """See [`DynExecSequenceClassifierOutput`]."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None
