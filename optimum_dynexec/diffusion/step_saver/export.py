"""Makes a predictor's OpenVINO model: optimum-intel exports the text encoder, and the head is added to its graph."""

import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from optimum.exporters.openvino import main_export
from optimum.intel import OVConfig

from .predictor import StepPredictorModule


def to_openvino(module: StepPredictorModule) -> ov.Model:
    """
    Args:
        module ([`~step_saver.predictor.StepPredictorModule`]): trained predictor.

    Returns:
        `ov.Model`: a model with the inputs `input_ids` and `attention_mask`, int64 `[n, tokens]`, and the outputs of
            the module.
    """
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "torch"), Path(directory, "openvino")
        module.encoder.save_pretrained(source)
        main_export(
            str(source),
            output=target,
            task="feature-extraction",
            library_name="transformers",
            ov_config=OVConfig(dtype="fp32"),
        )
        return _with_head(ov.Core().read_model(target / "openvino_model.xml"), module)


def _with_head(encoder: ov.Model, module: StepPredictorModule) -> ov.Model:
    parameters = {parameter.output(0).get_any_name(): parameter for parameter in encoder.get_parameters()}
    used = [parameters.pop("input_ids"), parameters.pop("attention_mask")]
    for parameter in parameters.values():
        # Token types and similar inputs, all of which are zero here.
        zeros = ops.multiply(used[0], np.int64(0))
        for consumer in parameter.output(0).get_target_inputs():
            consumer.replace_source_output(zeros.output(0))
    states = encoder.output("last_hidden_state").get_node().input_value(0)
    mask = ops.unsqueeze(ops.convert(used[1], "f32"), np.int64(-1))
    count = ops.maximum(ops.reduce_sum(mask, np.int64(1)), np.float32(1))
    mean = ops.divide(ops.reduce_sum(ops.multiply(states, mask), np.int64(1)), count)
    weight = module.head.weight.detach().numpy()
    raw = ops.add(ops.matmul(mean, weight, False, True), module.head.bias.detach().numpy())
    first, others = ops.variadic_split(raw, np.int64(1), np.array([1, len(weight) - 1])).outputs()
    steps = ops.concat([first, ops.softplus(others)], 1)
    levels = ops.add(ops.cum_sum(steps, np.int64(1)), module.center.detach().numpy())
    levels.output(0).set_names({"log_steps"})
    return ov.Model([ops.result(levels)], used, "step_predictor")
