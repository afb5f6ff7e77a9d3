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


@dataclass
class DynExecSequenceClassifierOutput(SequenceClassifierOutput):
    """
    transformers' fields; with early exit also:

    Args:
        exit_layer (`torch.LongTensor` of shape `(batch_size,)`): layer after which each sample left; the last layer of
            the model if it did not leave early.
        confidence (`torch.FloatTensor` of shape `(batch_size,)`): the largest probability of its answer; of several,
            for tokens or for start and end, the least; for embeddings the cosine with the exit before. NaN where there
            is none.
    """

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecTokenClassifierOutput(TokenClassifierOutput):
    """See [`DynExecSequenceClassifierOutput`]. Logits of padding that was dropped on the way are 0."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecQuestionAnsweringOutput(QuestionAnsweringModelOutput):
    """See [`DynExecSequenceClassifierOutput`]. Logits of padding that was dropped on the way are 0."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecFeatureExtractionOutput(BaseModelOutput):
    """See [`DynExecSequenceClassifierOutput`]. Hidden states of padding that was dropped on the way are 0."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None


@dataclass
class DynExecImageClassifierOutput(ImageClassifierOutput):
    """See [`DynExecSequenceClassifierOutput`]."""

    exit_layer: torch.Tensor | np.ndarray | None = None
    confidence: torch.Tensor | np.ndarray | None = None
