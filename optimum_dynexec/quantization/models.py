"""Loads a model for optimum-intel's quantizer."""

from pathlib import Path
from typing import TYPE_CHECKING

import openvino as ov

from ..directory.config import MODEL_CLASSES
from ..directory.staging import EXPORT_MARK
from .errors import QuantizationError


if TYPE_CHECKING:
    from optimum.intel import OVDiffusionPipeline
    from optimum.intel.openvino.modeling_base import OVBaseModel


PIPELINE_MARK = "model_index.json"
# The entry in which NNCF records that it has quantized a model.
MARKS = ("weight_compression", "quantization")


def is_pipeline(directory: Path) -> bool:
    """Whether a directory contains a diffusion pipeline."""
    return (directory / PIPELINE_MARK).is_file()


def load_model(directory: Path, task: str) -> "OVBaseModel":
    """
    Loads a model with the class of optimum-intel, without compiling it.

    Args:
        directory (`Path`): directory of an export.
        task (`str`): task of the model, one of [`~directory.config.MODEL_CLASSES`].

    Returns:
        `OVBaseModel`.

    Raises:
        [`QuantizationError`]: if it is already quantized.
    """
    import optimum.intel

    model = getattr(optimum.intel, f"OV{MODEL_CLASSES[task]}").from_pretrained(directory, compile=False)
    check_not_quantized(model.model, directory)
    return model


def load_pipeline(directory: Path) -> "OVDiffusionPipeline":
    """
    Loads a diffusion pipeline with optimum-intel, without compiling it.

    Raises:
        [`QuantizationError`]: if one of its models is already quantized.
    """
    from optimum.intel import OVDiffusionPipeline

    pipeline = OVDiffusionPipeline.from_pretrained(directory, compile=False)
    for name, model in pipeline.ov_models.items():
        if model is not None:
            check_not_quantized(model, directory / name)
    return pipeline


def check_not_quantized(model: ov.Model, place: str | Path) -> None:
    """
    Raises:
        [`QuantizationError`]: if NNCF has already quantized the model. This is possible only once.
    """
    done = [mark for mark in MARKS if model.has_rt_info(["nncf", mark])]
    if done:
        raise QuantizationError(
            f"{place} is already quantized (nncf {done[0]}): export the original model with --weight-format fp32 and"
            " quantize that"
        )


def check_source(directory: Path) -> None:
    """
    Raises:
        [`QuantizationError`]: if a directory contains nothing that can be quantized.
    """
    if is_pipeline(directory) or (directory / EXPORT_MARK).is_file():
        return
    raise QuantizationError(
        f"{directory} is not an exported model: it contains neither {EXPORT_MARK} nor {PIPELINE_MARK}; export the"
        " model first"
        " with `optimum-cli export dynexec` or `optimum-cli export openvino`"
    )


def weight_bytes(directory: str | Path) -> int:
    """Size of all weights of a model or pipeline on disk, in bytes, heads included."""
    return sum(file.stat().st_size for file in Path(directory).rglob("*.bin"))
