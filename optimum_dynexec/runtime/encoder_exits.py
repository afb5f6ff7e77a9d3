"""Runs a whole encoder with all exit heads, for training and calibration."""

from collections.abc import Mapping, Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from ..graph.walks import nodes_by_name
from ..heads.encoder_ir import ATTENTION_MASK, HIDDEN_STATES


class EncoderExits:
    """
    Runs all layers of a model and its exit heads on each sample.

    Args:
        model (`openvino.Model`):
            Model as optimum-intel exports it. It is not changed.
        device (`str`):
            OpenVINO device to run on.
        ov_config (`Mapping[str, str]`):
            OpenVINO properties for compilation.
        boundaries (`Mapping[int, str]`):
            For each layer whose hidden states are requested, the friendly name of the node after it.
        heads (`Mapping[int, openvino.Model]`, *optional*):
            Exit heads by layer. If not set, the model has no exits. The layer must be in `boundaries`.
    """

    def __init__(
        self,
        model: ov.Model,
        device: str,
        ov_config: Mapping[str, str],
        boundaries: Mapping[int, str],
        heads: Mapping[int, ov.Model] | None = None,
    ):
        core = ov.Core()
        self.layers = sorted(boundaries)
        self.exit_layers = sorted(heads or {})
        model = model.clone()
        self._outputs = [value.get_any_name() for value in model.outputs]
        nodes = nodes_by_name(model, list(boundaries.values()))
        model.add_results([ops.result(nodes[boundaries[layer]].output(0)) for layer in self.layers])
        self._inputs = [value.get_any_name() for value in model.inputs]
        self._model = core.compile_model(model, device, dict(ov_config))
        self._heads = {
            layer: core.compile_model(head, device, dict(ov_config)) for layer, head in sorted((heads or {}).items())
        }

    def __call__(
        self, inputs: Mapping[str, np.ndarray], layers: Sequence[int] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray], dict[int, dict[str, np.ndarray]]]:
        """
        Args:
            inputs (`Mapping[str, np.ndarray]`): inputs of the model by name.
            layers (`Sequence[int]`, *optional*): layers whose hidden states are requested; all by default.

        Returns:
            `tuple`: the model's outputs by name; the hidden states by layer, float32 `[batch, ...]`; and for each
            layer with a head, the head's outputs by name.
        """
        found = self._model({name: inputs[name] for name in self._inputs})
        values = [np.array(found[index]) for index in range(len(self._outputs) + len(self.layers))]
        outputs = dict(zip(self._outputs, values, strict=False))
        hidden = dict(zip(self.layers, values[len(self._outputs) :], strict=True))
        said = {}
        for layer, head in self._heads.items():
            feed = {HIDDEN_STATES: hidden[layer]}
            if any(ATTENTION_MASK in value.get_names() for value in head.inputs):
                feed[ATTENTION_MASK] = inputs[ATTENTION_MASK]
            result = head(feed)
            said[layer] = {value.get_any_name(): np.array(result[value]) for value in head.outputs}
        wanted = hidden if layers is None else {layer: hidden[layer] for layer in layers}
        return outputs, wanted, said
