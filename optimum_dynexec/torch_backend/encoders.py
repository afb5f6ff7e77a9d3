"""`TorchDynExecModelFor…`: the torch implementation of the classes `DynExecModelFor…` for classifiers."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from transformers import (
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.modeling_outputs import ModelOutput

from ..directory.one_label import check_one_label
from ..early_exit.config import EarlyExitConfig
from ..early_exit.encoder_stats import EncoderStats
from ..modeling.encoder import AS_LOADED
from ..modeling.encoder_outputs import (
    DynExecImageClassifierOutput,
    DynExecQuestionAnsweringOutput,
    DynExecSequenceClassifierOutput,
    DynExecTokenClassifierOutput,
)
from ..modeling.pipelines import known_to_pipelines
from .exit_rule import criterion_of
from .heads import load_encoder_heads
from .layers import StopForward, find_layers, watching
from .model import TorchDynExecModel
from .sample_exits import SampleExits


if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from typing_extensions import Self

    from ..early_exit.criteria.base import Criterion
    from ..heads.modules.encoder import EncoderHeadModule


class TorchDynExecEncoder(TorchDynExecModel):
    """
    The reference implementation of the classifiers. A batch stays whole until its last sample has left; then the
    remaining layers do not run.

    `last_stats` holds the [`~early_exit.encoder_stats.EncoderStats`] of the latest call with early exit, of whichever
    thread; `None` before. Those of one call are the attribute `dynexec` of its output.
    """

    output_class: ClassVar[type[ModelOutput]]
    last_stats: EncoderStats | None = None
    early_exit: EarlyExitConfig | None = None

    @classmethod
    def from_pretrained(
        cls, model_id: str | Path, *, early_exit: EarlyExitConfig | None = None, **kwargs: Any
    ) -> "Self":
        """
        Loads a checkpoint of transformers.

        Args:
            model_id (`str` or `Path`): model on the Hub, or directory.
            early_exit ([`~early_exit.EarlyExitConfig`], *optional*):
                early exit of calls without the argument `early_exit`.
            kwargs: see [`TorchDynExecModel.from_pretrained`].
        """
        model = super().from_pretrained(model_id, **kwargs)
        model.early_exit = early_exit
        if early_exit is not None:
            model._checked(early_exit)
        return model

    @classmethod
    def _load_heads(cls, files: list[Path], model: "PreTrainedModel") -> "dict[int, EncoderHeadModule]":
        return load_encoder_heads(files, model, len(find_layers(model)))

    @torch.no_grad()
    def forward(self, *args: Any, early_exit: EarlyExitConfig | str | None = AS_LOADED, **kwargs: Any) -> ModelOutput:
        """
        Runs a batch.

        Args:
            args (*optional*): inputs of the model by position.
            kwargs (*optional*): inputs of the model by name.
            early_exit ([`~early_exit.EarlyExitConfig`], *optional*):
                early exit of this call; `None`: no sample leaves. If not set: as the model was loaded.

        Returns:
            transformers' output type, in the order of the batch; with early exit, also `exit_layer` and `confidence`.

        Raises:
            `ValueError`: if the model has no exit heads, or `early_exit` does not suit it.
        """
        config = self.early_exit if isinstance(early_exit, str) and early_exit == AS_LOADED else early_exit
        inputs = self._named(args, kwargs)
        if config is None:
            return self.output_class(**self._outputs(self.model(**inputs)))
        criterion, thresholds = self._checked(config)  # type: ignore[arg-type]  # refuses words
        start = time.perf_counter()
        exits, outputs = self._run(inputs, criterion, thresholds)
        values = exits.finish(outputs)
        output = self.output_class(
            **values,
            exit_layer=torch.from_numpy(exits.exit_layer),
            confidence=torch.from_numpy(exits.confidence),
        )
        self.last_stats = output.dynexec = self._stats(exits, next(iter(inputs.values())), start)
        return output

    @torch.no_grad()
    def exit_logits(self, **inputs: Any) -> dict[int, dict[str, torch.Tensor]]:
        """
        Runs all layers and all exit heads on each sample.

        Args:
            inputs (`torch.Tensor`): inputs of the model by name.

        Returns:
            `dict[int, dict[str, torch.Tensor]]`: for each layer with a head, the head's outputs by name; for the
            last layer, the model's own outputs.
        """
        inputs = self._named((), inputs)
        if not self.heads:
            return {self._num_layers - 1: self._outputs(self.model(**inputs))}
        exits, outputs = self._run(inputs, None, [])
        return {**exits.said, self._num_layers - 1: outputs}

    def _run(
        self, inputs: dict[str, Any], criterion: "Criterion | None", thresholds: list[float]
    ) -> tuple[SampleExits, dict[str, torch.Tensor]]:
        layers = find_layers(self.model)
        # For audio, the mask is for samples of sound, not for positions of the layers.
        mask = inputs["attention_mask"] if "input_ids" in inputs else None
        size = len(next(iter(inputs.values())))
        exits = SampleExits(self.heads, criterion, thresholds, len(layers) - 1, mask, size)
        try:
            with watching(layers, self.exit_layers, exits.see):
                return exits, self._outputs(self.model(**inputs))
        except StopForward:
            return exits, {}

    def _checked(self, early_exit: EarlyExitConfig) -> tuple["Criterion", list[float]]:
        criterion = criterion_of(early_exit, self.exit_layers, self.directory)
        thresholds = early_exit.thresholds_for(self.exit_layers)
        if criterion.for_embeddings:
            raise ValueError(
                f"the criterion {early_exit.criterion!r} cannot be used with this model: it is for other outputs"
            )
        check_one_label(self.config)
        return criterion, thresholds

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Inputs by name, on the device; a text without an attention mask has no padding."""
        names = (self.model.main_input_name, "attention_mask", "token_type_ids")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        inputs = {
            name: torch.as_tensor(value).to(self.device)
            for name, value in given.items()
            if value is not None and not isinstance(value, bool)
        }
        if "input_ids" in inputs:
            inputs.setdefault("attention_mask", torch.ones_like(inputs["input_ids"]))
        return {name: inputs[name] for name in sorted(inputs, key=lambda name: name != names[0])}

    def _outputs(self, outputs: ModelOutput) -> dict[str, torch.Tensor]:
        fields = ("logits", "start_logits", "end_logits")
        return {name: outputs[name] for name in fields if name in outputs}

    def _stats(self, exits: SampleExits, main: torch.Tensor, start: float) -> EncoderStats:
        layers = [*self.exit_layers, self._num_layers - 1]
        histogram = {layer: int(np.sum(exits.exit_layer == layer)) for layer in layers}
        # The whole batch runs up to the deepest exit of its samples.
        runs = [int(layer <= exits.exit_layer.max()) for layer in layers]
        total = time.perf_counter() - start
        # Only the total time of the segments is known.
        share = (total - exits.head_seconds) / max(sum(runs), 1)
        places = main.shape[1] if main.ndim == 2 else 1
        return EncoderStats(
            samples=len(main),
            exit_histogram=histogram,
            mean_exit_layer=float(exits.exit_layer.mean()) if len(main) else float("nan"),
            segment_rows=[len(main) * run for run in runs],
            segment_passes=runs,
            segment_places=[len(main) * places * run for run in runs],
            segment_seconds=[share * run for run in runs],
            head_seconds=exits.head_seconds,
            total_seconds=total,
        )


@known_to_pipelines(AutoModelForSequenceClassification)
class TorchDynExecModelForSequenceClassification(TorchDynExecEncoder):
    """The reference implementation of [`DynExecModelForSequenceClassification`]."""

    auto_class = AutoModelForSequenceClassification
    output_class = DynExecSequenceClassifierOutput


@known_to_pipelines(AutoModelForTokenClassification)
class TorchDynExecModelForTokenClassification(TorchDynExecEncoder):
    """The reference implementation of [`DynExecModelForTokenClassification`]."""

    auto_class = AutoModelForTokenClassification
    output_class = DynExecTokenClassifierOutput


@known_to_pipelines(AutoModelForQuestionAnswering)
class TorchDynExecModelForQuestionAnswering(TorchDynExecEncoder):
    """The reference implementation of [`DynExecModelForQuestionAnswering`]."""

    auto_class = AutoModelForQuestionAnswering
    output_class = DynExecQuestionAnsweringOutput


@known_to_pipelines(AutoModelForImageClassification)
class TorchDynExecModelForImageClassification(TorchDynExecEncoder):
    """The reference implementation of [`DynExecModelForImageClassification`]."""

    auto_class = AutoModelForImageClassification
    output_class = DynExecImageClassifierOutput


@known_to_pipelines(AutoModelForAudioClassification)
class TorchDynExecModelForAudioClassification(TorchDynExecEncoder):
    """The reference implementation of [`DynExecModelForAudioClassification`]."""

    auto_class = AutoModelForAudioClassification
    output_class = DynExecSequenceClassifierOutput
