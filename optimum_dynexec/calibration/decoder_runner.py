"""Runs a decoder and its exit heads over whole texts, with plain OpenVINO."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from ..directory.attached_heads import exit_heads
from ..directory.errors import CalibrationError
from ..directory.loading import read_export
from ..graph.backbone import unembedding_product
from ..graph.walks import nodes_by_name
from ..heads.ir import HIDDEN_STATES, TOKEN_IDS
from ..runtime.heads import default_ov_config
from .recording import ExitLogits


ROWS = "dynexec.rows"
NO_HEADS = (
    "{0} has no exit heads to calibrate: train them with `optimum-cli dynexec train-heads {0} --layers ..."
    " --no-draft-head`"
)


class DecoderRunner:
    """
    An [`~calibration.recording.ExitRunner`] of a decoder in a directory.

    Args:
        directory (`str` or `Path`):
            Directory of an export with exit heads.
        device (`str`, *optional*, defaults to `"CPU"`):
            OpenVINO device.
        ov_config (`Mapping[str, str]`, *optional*):
            OpenVINO properties for the decoder.
        head_ov_config (`Mapping[str, str]`, *optional*):
            OpenVINO properties for its heads. If not set: the properties that the engine uses for heads.

    Raises:
        [`~directory.errors.CalibrationError`]: if the model has no exit heads.
    """

    def __init__(
        self,
        directory: str | Path,
        device: str = "CPU",
        ov_config: Mapping[str, str] | None = None,
        head_ov_config: Mapping[str, str] | None = None,
    ):
        backbone, config, found = read_export(directory)
        heads = exit_heads(found)
        if not heads:
            raise CalibrationError(NO_HEADS.format(directory))
        self.layers: tuple[int, ...] = tuple(heads)
        self.num_layers = len(config.hidden_state_names)
        core = ov.Core()
        backbone = _with_hidden_states(backbone, [config.hidden_state_names[layer] for layer in heads])
        self._backbone = core.compile_model(backbone, device, dict(ov_config or {})).create_infer_request()
        self._heads: list[ov.InferRequest] = []
        self.token_ids: Sequence[np.ndarray] = [_token_ids(head) for head in heads.values()]
        for head in heads.values():
            properties = default_ov_config(head, device) if head_ov_config is None else dict(head_ov_config)
            compiled = core.compile_model(head, device, properties)
            self._heads.append(compiled.create_infer_request())

    def __call__(self, tokens: Sequence[int], rows: np.ndarray) -> ExitLogits:
        """See [`~calibration.recording.ExitRunner`]."""
        length = len(tokens)
        feed: dict[str, np.ndarray] = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, length), np.int64),
            "position_ids": np.arange(length, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
            ROWS: np.asarray(rows, np.int64),
        }
        results = _infer(self._backbone, feed)
        full = np.argmax(results[0].reshape(len(rows), -1), axis=1)
        exits = []
        for head, hidden_states in zip(self._heads, results[1:], strict=True):
            hidden_states = np.asarray(hidden_states, np.float32).reshape(1, length, -1)
            logits = _infer(head, {**feed, HIDDEN_STATES: hidden_states})[0]
            exits.append(np.asarray(logits, np.float32).reshape(length, -1)[rows])
        return ExitLogits(exits, full)


def _token_ids(head: ov.Model) -> np.ndarray:
    return np.array(head.output(TOKEN_IDS).get_node().input_value(0).get_node().data, np.int64)


def _infer(request: ov.InferRequest, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Copies of the outputs, in order. Each text starts with an empty cache."""
    request.reset_state()
    names = {name for value in request.model_inputs for name in value.get_names()}
    request.infer({name: value for name, value in feed.items() if name in names})
    return [np.array(request.get_output_tensor(index).data) for index in range(len(request.model_outputs))]


def _with_hidden_states(model: ov.Model, boundaries: Sequence[str]) -> ov.Model:
    """A clone whose outputs are the logits of selected rows and the hidden states at the boundaries."""
    model = model.clone()
    product = unembedding_product(model)
    rows = ops.parameter([-1], np.int64, name=ROWS)
    rows.output(0).set_names({ROWS})
    chosen = ops.gather(product.input_value(0), rows, ops.constant(1, np.int64))
    product.input(0).replace_source_output(chosen.output(0))
    nodes = nodes_by_name(model, boundaries)
    outputs = [model.output("logits").get_node(), *(ops.result(nodes[name].output(0)) for name in boundaries)]
    return ov.Model(outputs, model.get_sinks(), [*model.get_parameters(), rows], model.get_variables(), "calibration")
