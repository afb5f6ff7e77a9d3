"""Compiles an encoder, or a vision or audio model, in segments for the C++ engine."""

from collections.abc import Mapping, Sequence

import numpy as np
import openvino as ov

from ..graph.encoder_segments import cut_encoder
from ..native import _C


# How the engine reads the outputs of a task: see csrc/encoder/answer.h.
ANSWERS = {
    "text-classification": "classes",
    "image-classification": "classes",
    "audio-classification": "classes",
    "token-classification": "tokens",
    "question-answering": "span",
    "feature-extraction": "embedding",
}
# A sample that waits for a full batch continues when this many times the batch size have arrived after it.
PATIENCE_OF_STREAMS = 8


class EncoderEngine:
    """
    A compiled model whose samples may leave early. Calls from several threads take turns.

    Args:
        model (`openvino.Model`):
            Model as optimum-intel exports it. It is not changed.
        device (`str`):
            OpenVINO device to run on.
        ov_config (`Mapping[str, str]`):
            OpenVINO properties for compilation.
        task (`str`):
            Task of the model, one of [`~directory.config.ENCODER_TASKS`].
        boundaries (`Mapping[int, str]`):
            For each layer of the model, the friendly name of the node after it.
        exit_layers (`Sequence[int]`):
            Exit layers, ascending. At an exit without a head, a model for feature extraction skips the layers
            in between and continues as after its last layer.
        heads (`Mapping[int, openvino.Model]`):
            Exit heads by layer, from [`~heads.ir.build_head_ir`] or their files.
        image_size (`tuple[int, int]`, *optional*):
            Height and width of images, for models that can be cut for one size only.
        whole (`bool`, *optional*, defaults to `False`):
            Whether to compile the whole model in one piece, without exits: the same runs, with no sample leaving.

    Raises:
        [`~graph.errors.NotSegmentableError`]: if the model cannot be cut at the exits.
        `ValueError`: if an exit needs a head but has none, or a head does not match the model.
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
        *,
        whole: bool = False,
    ):
        self.exit_layers = [] if whole else list(exit_layers)
        self.num_layers = len(boundaries)
        cut = cut_encoder(model, [boundaries[layer] for layer in exit_layers], image_size)
        segments = [model.clone()] if whole else cut.models
        models = [heads.get(layer) for layer in self.exit_layers]
        if None in models:
            layer = self.exit_layers[models.index(None)]
            if task != "feature-extraction":
                raise ValueError(
                    f"the exit after layer {layer} has no head: train and attach one, or leave this exit out"
                )
            tail = cut_encoder(model, [boundaries[self.num_layers - 1]], image_size).models[1]
            models = [tail if head is None else head for head in models]
        core = ov.Core()
        properties = dict(ov_config)
        spec = _C.EncoderSpec()
        spec.segments = [core.compile_model(segment, device, properties) for segment in segments]
        spec.exits = [
            _C.EncoderExit(core.compile_model(head, device, properties), segment)
            for segment, head in enumerate(models)
        ]
        spec.sequence_inputs = cut.sequence_inputs
        spec.hidden_states_are_sequences = bool(cut.sequence_inputs)
        spec.outputs_are_sequences = cut.outputs_are_sequences
        spec.answer = ANSWERS[task]
        self.native = _C.Encoder(spec)
        # Types and shapes of the inputs; the first segment may accept images of one size only.
        ports = {value.get_any_name(): value for part in (model, segments[0]) for value in part.inputs}
        self.inputs = {value.get_any_name(): ports[value.get_any_name()] for value in model.inputs}
        self.inputs = {name: port for name, port in self.inputs.items() if name in self.native.inputs}
        self.outputs: list[str] = self.native.outputs

    def start(self, params: _C.EncoderParams) -> _C.EncoderRun:
        """
        Starts a run.

        Args:
            params (`_C.EncoderParams`): criterion and thresholds of the run.

        Returns:
            `_C.EncoderRun`: the run, which accepts samples and returns those that have left.
        """
        return _C.EncoderRun(self.native, params)

    def tensors(self, inputs: Mapping[str, np.ndarray], *, copy: bool = False) -> dict[str, ov.Tensor]:
        """
        Makes the engine's inputs.

        Args:
            inputs (`Mapping[str, np.ndarray]`): inputs by name. Inputs that the engine does not have are ignored.
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
