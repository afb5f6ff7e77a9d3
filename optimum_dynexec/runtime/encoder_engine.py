"""An encoder, or a vision or audio model, compiled in segments for the C++ engine."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov

from ..graph.encoder_segments import cut_encoder
from ..native import _C


# How the outputs of a task are judged: see csrc/encoder/answer.h.
ANSWERS = {
    "text-classification": "classes",
    "image-classification": "classes",
    "audio-classification": "classes",
    "token-classification": "tokens",
    "question-answering": "span",
    "feature-extraction": "embedding",
}
# A sample that waits for others to fill its batch goes on when this many times the batch size have come in behind it.
PATIENCE_OF_STREAMS = 8


class EncoderEngine:
    """
    A compiled model whose samples may leave at exits. Calls from several threads take turns.

    Args:
        model (`openvino.Model`):
            As optimum-intel exports it; left as it is.
        device (`str`):
            OpenVINO device to run on.
        ov_config (`Mapping[str, str]`):
            OpenVINO properties for compilation.
        task (`str`):
            What the model is for; one of [`~directory.config.ENCODER_TASKS`].
        boundaries (`Mapping[int, str]`):
            For each layer of the model, the friendly name of the node after it.
        exit_layers (`Sequence[int]`):
            Layers with exits, ascending. Where there is no head, a model for feature extraction leaves out the layers
            in between and ends as it does behind its last layer.
        heads (`Mapping[int, openvino.Model]`):
            Exit heads by their layer, from [`~heads.ir.build_head_ir`] or their files.
        image_size (`tuple[int, int]`, *optional*):
            Height and width of images, for models that can be cut for one size only.

    Raises:
        [`~graph.errors.NotSegmentableError`]: if the model cannot be cut at the exits.
        `ValueError`: if an exit has no head and needs one, or a head does not fit.
    """

    def __init__(
        self,
        model: ov.Model,
        device: str,
        ov_config: Mapping[str, str],
        task: str,
        boundaries: Mapping[int, str],
        exit_layers: Sequence[int],
        heads: Mapping[int, ov.Model],
        image_size: tuple[int, int] | None = None,
    ):
        self.exit_layers = list(exit_layers)
        self.num_layers = len(boundaries)
        cut = cut_encoder(model, [boundaries[layer] for layer in self.exit_layers], image_size)
        models = [heads.get(layer) for layer in self.exit_layers]
        if None in models:
            layer = self.exit_layers[models.index(None)]
            if task != "feature-extraction":
                raise ValueError(f"the exit after layer {layer} has no head: train and attach one, or leave it out")
            tail = cut_encoder(model, [boundaries[self.num_layers - 1]], image_size).models[1]
            models = [tail if head is None else head for head in models]
        core = ov.Core()
        properties = dict(ov_config)
        spec = _C.EncoderSpec()
        spec.segments = [core.compile_model(segment, device, properties) for segment in cut.models]
        spec.exits = [
            _C.EncoderExit(core.compile_model(head, device, properties), segment)
            for segment, head in enumerate(models)
        ]
        spec.sequence_inputs = cut.sequence_inputs
        spec.hidden_states_are_sequences = bool(cut.sequence_inputs)
        spec.outputs_are_sequences = cut.outputs_are_sequences
        spec.answer = ANSWERS[task]
        self.native = _C.Encoder(spec)
        # Types and shapes of what it takes; the first segment may take images of one size only.
        ports = {value.get_any_name(): value for part in (model, cut.models[0]) for value in part.inputs}
        self.inputs = {value.get_any_name(): ports[value.get_any_name()] for value in model.inputs}
        self.inputs = {name: port for name, port in self.inputs.items() if name in self.native.inputs}
        self.outputs: list[str] = self.native.outputs

    def start(self, params: Any) -> Any:
        """
        Begins a run.

        Args:
            params (`_C.EncoderParams`): when samples leave.

        Returns:
            `_C.EncoderRun`: takes samples in, and gives those that have left.
        """
        return _C.EncoderRun(self.native, params)

    def tensors(self, inputs: Mapping[str, np.ndarray], *, copy: bool = False) -> dict[str, ov.Tensor]:
        """
        Makes the engine's inputs.

        Args:
            inputs (`Mapping[str, np.ndarray]`): by name; what the engine does not take is left out.
            copy (`bool`, *optional*, defaults to `False`): whether the tensors outlive the arrays.

        Raises:
            `ValueError`: if one is missing or of a shape that the model does not take.
        """
        tensors = {}
        for name, port in self.inputs.items():
            if inputs.get(name) is None:
                raise ValueError(f"the input `{name}` is missing")
            array = np.ascontiguousarray(inputs[name], port.get_element_type().to_dtype())
            if not port.get_partial_shape().compatible(ov.PartialShape(list(array.shape))):
                raise ValueError(
                    f"`{name}` must have the shape {port.get_partial_shape()} (? is any size), got {array.shape}"
                )
            tensors[name] = ov.Tensor(array, shared_memory=not copy)
        return tensors
