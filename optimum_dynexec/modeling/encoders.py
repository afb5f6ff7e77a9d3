"""`DynExecModelFor…` for encoders, vision and audio models: `OVModelFor…` classes whose samples may leave early."""

from typing import Any

from optimum.intel import (
    OVModelForAudioClassification,
    OVModelForFeatureExtraction,
    OVModelForImageClassification,
    OVModelForQuestionAnswering,
    OVModelForSequenceClassification,
    OVModelForTokenClassification,
)
from transformers import (
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.modeling_outputs import ModelOutput

from ..early_exit.config import EarlyExitConfig
from .encoder import AS_LOADED, DynExecEncoderMixin, Values
from .encoder_outputs import (
    DynExecFeatureExtractionOutput,
    DynExecImageClassifierOutput,
    DynExecQuestionAnsweringOutput,
    DynExecSequenceClassifierOutput,
    DynExecTokenClassifierOutput,
)
from .pipelines import known_to_pipelines


class _TextMixin(DynExecEncoderMixin):
    """Mixin for models that take tokens."""

    def forward(
        self,
        input_ids: Values,
        attention_mask: Values | None = None,
        token_type_ids: Values | None = None,
        early_exit: EarlyExitConfig | str | None = AS_LOADED,
        **kwargs: Any,
    ) -> ModelOutput:
        """
        Runs a batch of texts.

        Args:
            input_ids (`torch.Tensor` or `np.ndarray` of shape `(batch_size, length)`): token ids.
            attention_mask (same type and shape, *optional*): mask that is 0 at padding. If not set: no padding.
            token_type_ids (same type and shape, *optional*): segment ids, for models that take them.
            early_exit ([`~early_exit.EarlyExitConfig`] or `str`, *optional*):
                Early exit of this call. `"calibrated"`: with the thresholds in `dynexec_config.json`. `None`: no early
                exit. If not set: as the model was loaded.

        Returns:
            transformers' output type, in the order of the batch. With early exit it also has the fields `exit_layer`
            and `confidence`.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}

        def plain() -> ModelOutput:
            mask = attention_mask if attention_mask is not None else input_ids * 0 + 1
            return super(DynExecEncoderMixin, self).forward(input_ids, mask, token_type_ids, **kwargs)

        return self._call(inputs, early_exit, plain)


@known_to_pipelines(AutoModelForSequenceClassification)
class DynExecModelForSequenceClassification(_TextMixin, OVModelForSequenceClassification):
    """Drop-in for `OVModelForSequenceClassification` with early exit."""

    output_class = DynExecSequenceClassifierOutput


@known_to_pipelines(AutoModelForTokenClassification)
class DynExecModelForTokenClassification(_TextMixin, OVModelForTokenClassification):
    """Drop-in for `OVModelForTokenClassification` with early exit: a text leaves when all its labels are certain."""

    output_class = DynExecTokenClassifierOutput


@known_to_pipelines(AutoModelForQuestionAnswering)
class DynExecModelForQuestionAnswering(_TextMixin, OVModelForQuestionAnswering):
    """Drop-in for `OVModelForQuestionAnswering` with early exit: a text leaves when start and end are certain."""

    output_class = DynExecQuestionAnsweringOutput


@known_to_pipelines(AutoModel)
class DynExecModelForFeatureExtraction(_TextMixin, OVModelForFeatureExtraction):
    """Drop-in for `OVModelForFeatureExtraction` with early exit: a text leaves when its embedding has settled."""

    output_class = DynExecFeatureExtractionOutput


@known_to_pipelines(AutoModelForImageClassification)
class DynExecModelForImageClassification(DynExecEncoderMixin, OVModelForImageClassification):
    """Drop-in for `OVModelForImageClassification` with early exit."""

    output_class = DynExecImageClassifierOutput

    def forward(
        self, pixel_values: Values, early_exit: EarlyExitConfig | str | None = AS_LOADED, **kwargs: Any
    ) -> ModelOutput:
        """
        Runs a batch of images.

        Args:
            pixel_values (`torch.Tensor` or `np.ndarray` of shape `(batch_size, channels, height, width)`): images.
            early_exit: early exit of this call, see [`DynExecModelForSequenceClassification.forward`].
        """
        plain = super(DynExecEncoderMixin, self).forward
        return self._call({"pixel_values": pixel_values}, early_exit, lambda: plain(pixel_values, **kwargs))


@known_to_pipelines(AutoModelForAudioClassification)
class DynExecModelForAudioClassification(DynExecEncoderMixin, OVModelForAudioClassification):
    """Drop-in for `OVModelForAudioClassification` with early exit."""

    output_class = DynExecSequenceClassifierOutput

    def forward(
        self,
        input_values: Values,
        attention_mask: Values | None = None,
        early_exit: EarlyExitConfig | str | None = AS_LOADED,
        **kwargs: Any,
    ) -> ModelOutput:
        """
        Runs a batch of audio clips.

        Args:
            input_values (`torch.Tensor` or `np.ndarray` of shape `(batch_size, samples)`): waveforms.
            attention_mask (same type and shape, *optional*): mask that is 0 at padding, for models that take one.
            early_exit: early exit of this call, see [`DynExecModelForSequenceClassification.forward`].
        """
        inputs = {"input_values": input_values, "attention_mask": attention_mask}
        plain = super(DynExecEncoderMixin, self).forward
        return self._call(inputs, early_exit, lambda: plain(input_values, attention_mask, **kwargs))
