"""A predictor's directory beside its pipeline."""

import shutil
from pathlib import Path
from typing import Any

import openvino as ov
import torch

from ...exporters.staging import staged_directory
from .config import STEP_SAVER_CONFIG_NAME, StepSaverConfig
from .predictor import StepPredictorModule


MODEL_NAME = "openvino_model.xml"


def save_predictor(
    directory: Path, module: StepPredictorModule, tokenizer: Any, config: StepSaverConfig, example: dict[str, Any]
) -> None:
    """
    Exports a predictor to OpenVINO, whole or not at all.

    Args:
        directory (`Path`): `step_saver` in the pipeline's; an earlier predictor there is replaced.
        module ([`~step_saver.predictor.StepPredictorModule`]): trained.
        tokenizer (`PreTrainedTokenizer`): gives its tokens.
        config ([`~step_saver.StepSaverConfig`]): stands beside it.
        example (`dict[str, Any]`): inputs of the module, for tracing.
    """
    with torch.no_grad():
        model = ov.convert_model(module, example_input=example)
    for port, name in zip(model.inputs, ("input_ids", "attention_mask"), strict=True):
        port.get_tensor().set_names({name})
    model.reshape({"input_ids": [-1, -1], "attention_mask": [-1, -1]})
    with staged_directory(directory) as staging:
        ov.save_model(model, staging / MODEL_NAME, compress_to_fp16=False)
        tokenizer.save_pretrained(staging)
        (staging / STEP_SAVER_CONFIG_NAME).write_text(config.to_json(), encoding="utf-8")


def copy_predictor(source: Path, target: Path) -> None:
    """Copies a predictor's directory to where there is none yet, or another."""
    with staged_directory(target) as staging:
        shutil.copytree(source, staging, dirs_exist_ok=True)
