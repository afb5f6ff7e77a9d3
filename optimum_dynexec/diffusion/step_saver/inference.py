"""Predicts the number of steps while a pipeline runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
from transformers import AutoTokenizer

from .config import STEP_SAVER_CONFIG_NAME, STEP_SAVER_DIRECTORY, StepSaverConfig
from .conformal import round_up
from .predictor import level_index
from .storage import MODEL_NAME


class StepPredictor:
    """
    Predicts how many steps a prompt needs.

    Args:
        directory (`str` or `Path`): directory of the predictor: `step_saver` in the directory of the pipeline.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.

    Raises:
        `ValueError`: if a file of the predictor is not valid.
    """

    def __init__(self, directory: str | Path, device: str = "CPU"):
        directory = Path(directory)
        self.config = StepSaverConfig.from_pretrained(directory)
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        # Its output is compared with a calibrated threshold: it must have the precision of the calibration.
        properties = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._model = ov.Core().compile_model(directory / MODEL_NAME, device, properties)

    @classmethod
    def beside(cls, pipeline_directory: str | Path) -> "StepPredictor":
        """
        Loads the predictor of a pipeline.

        Raises:
            `FileNotFoundError`: if the pipeline has no predictor.
        """
        directory = Path(pipeline_directory) / STEP_SAVER_DIRECTORY
        if not (directory / STEP_SAVER_CONFIG_NAME).is_file():
            raise FileNotFoundError(
                f'`num_inference_steps="auto"` needs a step predictor, but {pipeline_directory} has none: train one'
                f" with `optimum-cli dynexec train-steps {pipeline_directory} --prompts FILE`"
            )
        return cls(directory)

    def log_steps(self, prompts: Sequence[str]) -> np.ndarray:
        """The quantile of the logarithm (base 2) of the needed steps, `[n]` float32, before conformalisation."""
        inputs = tokenize(self.tokenizer, prompts, self.config.max_length, "np")
        return self._model(dict(inputs))[0][:, level_index(self.config.delta)]

    def predict(self, prompts: Sequence[str]) -> list[int]:
        """
        Args:
            prompts (`Sequence[str]`): n prompts, truncated to the length that the predictor reads.

        Returns:
            `list[int]`: n step counts. Each is too small with probability at most delta.
        """
        return round_up(self.log_steps(prompts), self.config.offset, self.config.steps)


def tokenize(tokenizer: object, prompts: Sequence[str], max_length: int, tensors: str) -> dict:
    """
    Token ids and mask, padded to `max_length`: OpenVINO would take longer if each length had its own shape.
    """
    encoded = tokenizer(  # type: ignore[operator]
        list(prompts), padding="max_length", truncation=True, max_length=max_length, return_tensors=tensors
    )
    return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
