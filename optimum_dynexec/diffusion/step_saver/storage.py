"""The directory of a predictor in the directory of its pipeline."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import openvino as ov

from ...directory.staging import staged_directory
from .config import STEP_SAVER_CONFIG_NAME, StepSaverConfig


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


MODEL_NAME = "openvino_model.xml"


def save_predictor(
    directory: Path, model: ov.Model, tokenizer: "PreTrainedTokenizerBase", config: StepSaverConfig
) -> None:
    """
    Writes a predictor completely or not at all.

    Args:
        directory (`Path`): directory of the predictor. An earlier predictor there is replaced.
        model (`ov.Model`): model from [`~step_saver.export.to_openvino`].
        tokenizer (`PreTrainedTokenizer`): tokenizer of the predictor.
        config ([`~step_saver.StepSaverConfig`]): configuration of the predictor.
    """
    with staged_directory(directory) as staging:
        ov.save_model(model, staging / MODEL_NAME, compress_to_fp16=False)
        tokenizer.save_pretrained(staging)
        (staging / STEP_SAVER_CONFIG_NAME).write_text(config.to_json(), encoding="utf-8")


def copy_predictor(source: Path, target: Path) -> None:
    """Copies a predictor's directory. Another predictor at the target is replaced."""
    with staged_directory(target) as staging:
        shutil.copytree(source, staging, dirs_exist_ok=True)
