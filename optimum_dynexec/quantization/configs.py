"""Reads optimum-intel's quantization configurations into one form."""

from collections.abc import Iterator
from typing import Any

from optimum.intel.openvino.configuration import (
    OVConfig,
    OVMixedQuantizationConfig,
    OVPipelineQuantizationConfig,
    OVQuantizationConfig,
    OVQuantizationConfigBase,
    OVQuantizationMethod,
    OVWeightQuantizationConfig,
)

from .errors import QuantizationError


# Options of weight compression that need activations.
DATA_AWARE = ("scale_estimation", "gptq", "lora_correction")


def as_ov_config(given: OVConfig | OVQuantizationConfigBase | dict[str, Any]) -> OVConfig:
    """
    Args:
        given (`OVConfig`, `OVQuantizationConfigBase` or `dict`): quantization configuration, which is not changed.

    Returns:
        `OVConfig`: a configuration with a `quantization_config`.

    Raises:
        [`QuantizationError`]: if it contains no quantization, or has another type.
    """
    config = given.quantization_config if isinstance(given, OVConfig) else given
    if isinstance(config, OVQuantizationConfigBase):
        return OVConfig(quantization_config=config.clone())
    if isinstance(config, dict) and config:
        return OVConfig(quantization_config=dict(config))
    raise QuantizationError(
        "`quantization_config` must be an OVConfig that has one, an OVWeightQuantizationConfig, OVQuantizationConfig,"
        f" OVMixedQuantizationConfig or OVPipelineQuantizationConfig, or a dict of its fields, but it is {given!r}"
    )


def parts(config: OVQuantizationConfigBase) -> Iterator[OVQuantizationConfigBase]:
    """The configurations of all models of a pipeline, or the configuration of a single model."""
    if isinstance(config, OVPipelineQuantizationConfig):
        yield from config.quantization_configs.values()
        if config.default_config is not None:
            yield config.default_config
    else:
        yield config


def needs_data(config: OVQuantizationConfigBase) -> bool:
    """Whether the quantization requires calibration data."""
    return any(_needs_data(part) for part in parts(config))


def uses_data(config: OVQuantizationConfigBase) -> bool:
    """Whether calibration data would change the result."""
    return any(_needs_data(part) or _uses_data(part) for part in parts(config))


def num_samples(config: OVQuantizationConfigBase) -> int | None:
    """The largest number of calibration samples in the configuration; `None` if it contains none."""
    numbers = [part.num_samples for part in [config, *parts(config)] if part.num_samples is not None]
    return max(numbers, default=None)


def _needs_data(config: OVQuantizationConfigBase) -> bool:
    if isinstance(config, OVQuantizationConfig | OVMixedQuantizationConfig):
        return True
    if not isinstance(config, OVWeightQuantizationConfig):
        return False
    hybrid = config.quant_method == OVQuantizationMethod.HYBRID
    return hybrid or any(bool(getattr(config, name)) for name in DATA_AWARE)


def _uses_data(config: OVQuantizationConfigBase) -> bool:
    if not isinstance(config, OVWeightQuantizationConfig) or config.bits == 8:
        return False
    awq = config.quant_method == OVQuantizationMethod.AWQ
    return awq or config.ratio < 1.0 or config.sensitivity_metric is not None
