"""Quantizes an exported directory."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..directory.config import DYNEXEC_CONFIG_NAME, DynExecConfig
from ..directory.staging import EXPORT_MARK, staged_directory
from ..exporters.annotate import annotate_export
from ..exporters.tasks import resolve_task
from .accuracy import AccuracyControl, check_control, quantize_with_accuracy_control
from .configs import as_ov_config, needs_data, num_samples, parts, uses_data
from .data import DEFAULT_SAMPLES, CalibrationData, calibration_dataset, check_sources
from .errors import QuantizationError
from .heads import carry_heads, check_formats
from .models import check_source, is_pipeline, load_model
from .pipelines import quantize_pipeline


if TYPE_CHECKING:
    import nncf
    from optimum.intel import OVConfig
    from optimum.intel.openvino.configuration import OVQuantizationConfigBase
    from optimum.intel.openvino.modeling_base import OVBaseModel

logger = logging.getLogger(__name__)

# Files that are written again.
WRITTEN = {EXPORT_MARK, "openvino_model.bin", "openvino_config.json", DYNEXEC_CONFIG_NAME}


def quantize_dynexec(
    model_dir: str | Path,
    output: str | Path,
    *,
    quantization_config: "OVConfig | OVQuantizationConfigBase | dict[str, Any]",
    head_weight_format: str | None = None,
    draft_weight_format: str | None = None,
    dataset: "CalibrationData | Sequence[str | Path] | nncf.Dataset | None" = None,
    accuracy_control: AccuracyControl | None = None,
) -> DynExecConfig | None:
    """
    Quantizes an exported decoder, encoder, vision or audio model, or diffusion pipeline with NNCF, through
    optimum-intel's
    `OVQuantizer`, and writes a complete directory: layer boundaries are found and marked again, and heads are copied.
    A calibration of early exit is also copied. Because the model has changed, it is refused until
    `optimum-cli dynexec calibrate` has run on `output`.

    The directory appears when it is complete.

    Args:
        model_dir (`str` or `Path`):
            Directory of an export that is not quantized yet. It is not changed.
        output (`str` or `Path`):
            Directory to write to. It must not exist, be empty or contain an earlier export, which is replaced. For a
            pipeline, it must not exist or be empty.
        quantization_config (`OVConfig`, `OVQuantizationConfigBase` or `dict`):
            Quantization configuration of optimum-intel: an `OVConfig` with one, an `OVWeightQuantizationConfig`,
            `OVQuantizationConfig`, `OVMixedQuantizationConfig` or `OVPipelineQuantizationConfig`, or a dictionary of
            its fields.
        head_weight_format (`str`, *optional*):
            Weight format of all heads: `"fp32"`, `"int8"` or `"int4"`. If not set: unchanged.
        draft_weight_format (`str`, *optional*):
            Weight format of the draft head. If not set: `head_weight_format`.
        dataset ([`CalibrationData`], `Sequence[str or Path]` or `nncf.Dataset`, *optional*):
            Calibration data: files or data sets, or prepared samples. If not set: the configuration's own
            `dataset`, as in optimum-intel.
        accuracy_control ([`AccuracyControl`], *optional*):
            For the full quantization of classifiers: restores layers to floating point until the accuracy loss is
            within this limit.

    Returns:
        [`DynExecConfig`]: the configuration written; `None` for a pipeline, which has none.

    Raises:
        [`QuantizationError`]: if the model is not an export or is already quantized, if calibration data is missing,
            or if the quantized model can be cut after other layers than before.
        `ValueError`: if the data or a weight format is not accepted.
        [`~directory.errors.ExportError`]: if `output` cannot be written to.
    """
    source = Path(model_dir)
    check_source(source)
    if Path(output).resolve() == source.resolve():
        raise QuantizationError(f"`output` is the model's own directory, {source}: give another directory")
    ov_config = as_ov_config(quantization_config)
    config = ov_config.quantization_config
    if config.dataset is None and dataset is None and needs_data(config):
        raise QuantizationError(
            f"{type(config).__name__} needs calibration data: give files or data sets as `dataset` (--data)"
        )
    if dataset is not None and not uses_data(config):
        logger.warning("This quantization is data-free: the calibration data that was given is not used.")
        dataset = None
    data = _as_data(dataset, num_samples(config))
    if is_pipeline(source):
        if head_weight_format or draft_weight_format or accuracy_control:
            raise QuantizationError("weight formats of heads and accuracy control are not for diffusion pipelines")
        with staged_directory(Path(output)) as staging:
            quantize_pipeline(source, staging, ov_config, data)
        return None

    earlier = _earlier(source)
    check_formats(earlier, head_weight_format, draft_weight_format)
    # Before the model is loaded, which takes longer.
    if isinstance(data, CalibrationData):
        check_sources(earlier.task, data)
    if accuracy_control is not None:
        check_control(source, earlier.task, accuracy_control)
    with staged_directory(Path(output)) as staging:
        model = load_model(source, earlier.task)
        if isinstance(data, CalibrationData):
            data = calibration_dataset(model, source, earlier.task, data)
            for part in parts(config):
                part.num_samples = part.num_samples or data.get_length()
        if accuracy_control is not None:
            if data is None:
                raise QuantizationError("accuracy control needs calibration data as `dataset`")
            quantized = quantize_with_accuracy_control(
                model.model, source, earlier.task, config, data, accuracy_control
            )
            model.replace_ov_model(model.model, quantized)
        else:
            _quantize(model, ov_config, data, source)
        model.save_pretrained(staging)
        del model
        _copy_others(source, staging, {Path(head.file).stem for head in earlier.heads.values()})
        made = annotate_export(staging, exit_layers=earlier.exit_layers, task=earlier.task)
        if earlier.hidden_state_names and len(made.hidden_state_names) != len(earlier.hidden_state_names):
            raise QuantizationError(
                f"the quantized model can be cut after {len(made.hidden_state_names)} layers, but {source} after"
                f" {len(earlier.hidden_state_names)}"
            )
        made = replace(made, versions={**made.versions, "nncf": version("nncf")}, calibration=earlier.calibration)
        made = carry_heads(source, staging, earlier, made, head_weight_format, draft_weight_format)
        made.save_pretrained(staging)
    return made


def _as_data(
    dataset: "CalibrationData | Sequence[str | Path] | nncf.Dataset | None", limit: int | None
) -> "CalibrationData | nncf.Dataset | None":
    """Converts sources to [`CalibrationData`]. Prepared data is returned unchanged."""
    if isinstance(dataset, CalibrationData):
        return replace(dataset, max_samples=limit) if limit is not None else dataset
    if isinstance(dataset, list | tuple):
        return CalibrationData(dataset, max_samples=limit or DEFAULT_SAMPLES)
    if isinstance(dataset, str | Path):
        raise QuantizationError(f"`dataset` must be a list of files or data sets, but it is {dataset!r}")
    return dataset


def _earlier(source: Path) -> DynExecConfig:
    if (source / DYNEXEC_CONFIG_NAME).is_file():
        return DynExecConfig.from_pretrained(source)
    # An export by plain optimum-intel.
    return DynExecConfig(task=resolve_task(str(source), "auto"))


def _quantize(model: "OVBaseModel", ov_config: "OVConfig", dataset: "nncf.Dataset | None", source: Path) -> None:
    from optimum.intel import OVQuantizer

    if dataset is None and ov_config.quantization_config.dataset is not None:
        # How a data set on the Hub is read.
        ov_config.quantization_config.tokenizer = ov_config.quantization_config.tokenizer or str(source)
    OVQuantizer(model).quantize(calibration_dataset=dataset, ov_config=ov_config)


def _copy_others(source: Path, staging: Path, heads: set[str]) -> None:
    """Copies tokenizers, processors and the other files of the model. Files of heads are copied elsewhere."""
    for entry in source.iterdir():
        wanted = entry.is_file() and not entry.name.startswith(".") and entry.name not in WRITTEN
        if wanted and entry.stem not in heads and not (staging / entry.name).exists():
            shutil.copy2(entry, staging / entry.name)
