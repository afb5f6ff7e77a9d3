"""The model of a directory as optimum-intel's quantizer takes it."""

from pathlib import Path
from typing import Any

import openvino as ov

from ..directory.config import MODEL_CLASSES
from ..directory.staging import EXPORT_MARK
from .errors import QuantizationError


PIPELINE_MARK = "model_index.json"
# Where NNCF writes that it has been at a model.
MARKS = ("weight_compression", "quantization")


def is_pipeline(directory: Path) -> bool:
    """Whether a directory holds a diffusion pipeline."""
    return (directory / PIPELINE_MARK).is_file()


def load_model(directory: Path, task: str) -> Any:
    """
    Loads a model, not compiled, as the plain class of optimum-intel.

    Args:
        directory (`Path`): of an export.
        task (`str`): one of [`~directory.config.MODEL_CLASSES`].

    Returns:
        `OVBaseModel`.

    Raises:
        [`QuantizationError`]: if it is quantized already.
    """
    import optimum.intel

    model = getattr(optimum.intel, f"OV{MODEL_CLASSES[task]}").from_pretrained(directory, compile=False)
    check_not_quantized(model.model, directory)
    return model


def load_pipeline(directory: Path) -> Any:
    """
    Loads a diffusion pipeline, not compiled, as optimum-intel does.

    Raises:
        [`QuantizationError`]: if a model of it is quantized already.
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
        [`QuantizationError`]: if NNCF has been at the model, which it can be once only.
    """
    done = [mark for mark in MARKS if model.has_rt_info(["nncf", mark])]
    if done:
        raise QuantizationError(
            f"{place} is quantized already (nncf {done[0]}): export the original model with --weight-format fp32, and"
            " quantize that"
        )


def check_source(directory: Path) -> None:
    """
    Raises:
        [`QuantizationError`]: if a directory holds nothing that can be quantized.
    """
    if is_pipeline(directory) or (directory / EXPORT_MARK).is_file():
        return
    raise QuantizationError(
        f"{directory} is no exported model: it has neither {EXPORT_MARK} nor {PIPELINE_MARK}; export the model first"
        " with `optimum-cli export dynexec` or `optimum-cli export openvino`"
    )


def weight_bytes(directory: str | Path) -> int:
    """Size of all weights of a model or pipeline on disk, in bytes, heads included."""
    return sum(file.stat().st_size for file in Path(directory).rglob("*.bin"))
