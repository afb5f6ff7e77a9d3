"""Quantizes diffusion pipelines."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..diffusion.step_saver.config import STEP_SAVER_DIRECTORY
from ..diffusion.step_saver.storage import copy_predictor
from .data import CalibrationData
from .models import load_pipeline


if TYPE_CHECKING:
    import nncf
    from optimum.intel import OVConfig


def quantize_pipeline(
    source: Path, staging: Path, ov_config: "OVConfig", data: "CalibrationData | nncf.Dataset | None"
) -> None:
    """
    Quantizes an exported pipeline. In a full quantization, the denoiser (UNet or transformer) is fully quantized, and
    for the other models only the weights are quantized, as in optimum-intel.

    Args:
        source (`Path`): directory of the pipeline.
        staging (`Path`): directory to write to.
        ov_config (`OVConfig`): quantization configuration. If the data is prompts, they are added to it.
        data ([`CalibrationData`] or `OVCalibrationDataset`, *optional*):
            calibration data: prompts, or samples of the pipeline's models by name.

    Raises:
        `ValueError`: if prompts cannot be read.
        [`QuantizationError`]: if the pipeline is already quantized.
    """
    from optimum.intel import OVQuantizer

    pipeline = load_pipeline(source)
    config = ov_config.quantization_config
    if isinstance(data, CalibrationData):
        from ..data.texts import read_texts

        config.dataset = [text for prompts in data.sources for text in read_texts(prompts)]
        # Each denoising step is a sample.
        config.num_samples = config.num_samples or data.max_samples
        data = None
    OVQuantizer(pipeline).quantize(calibration_dataset=data, ov_config=ov_config)
    # The prompts do not belong into the written configuration.
    config.dataset = None
    pipeline.save_pretrained(staging)
    predictor = source / STEP_SAVER_DIRECTORY
    if predictor.is_dir():
        copy_predictor(predictor, staging / STEP_SAVER_DIRECTORY)
