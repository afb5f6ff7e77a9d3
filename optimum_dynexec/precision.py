"""The argument `precision`: the arithmetic that it stands for, as OpenVINO properties."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


FLOAT32_OV_CONFIG: Mapping[str, str] = MappingProxyType(
    {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    }
)
# Float32 between the products; inside the products with compressed weights, OpenVINO may quantize activations to 8
# bits, each row for itself. With passes of the right sizes (`runtime/row_limits.py`), the bits of a row of logits then
# depend on its own input alone. A bf16 hint or a compressed KV cache would break this.
ROW_INVARIANT_OV_CONFIG: Mapping[str, str] = MappingProxyType(
    {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
)
DYNAMIC_QUANTIZATION = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
# Group sizes of dynamic quantization are multiples of this number.
GROUP_MULTIPLE = 32
PRECISIONS = ("auto", "exact", "f32", "fast")


def group_config(group: int | None) -> dict[str, str]:
    """The OpenVINO property for a group size of dynamic quantization; `{}` if OpenVINO chooses."""
    return {} if group is None else {DYNAMIC_QUANTIZATION: str(group)}


def check_precision(precision: object) -> None:
    """
    Raises:
        `ValueError`: if the precision does not exist.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {list(PRECISIONS)}, got {precision!r}")


def resolve_precision(precision: str, compressed: bool) -> str:
    """
    The precision that `"auto"` stands for; other precisions stand for themselves.

    Args:
        precision (`str`): one of `PRECISIONS`.
        compressed (`bool`): whether the model is a decoder with compressed weights (INT8, INT4).

    Raises:
        `ValueError`: if the precision does not exist.
    """
    check_precision(precision)
    if precision != "auto":
        return precision
    return "exact" if compressed else "fast"


def precision_properties(precision: str, compressed: bool) -> Mapping[str, str]:
    """
    The OpenVINO properties of a precision. For other models than decoders with compressed weights, `"exact"` is
    `"f32"`.

    Args:
        precision (`str`): one of `PRECISIONS`.
        compressed (`bool`): whether the model is a decoder with compressed weights (INT8, INT4).

    Raises:
        `ValueError`: if the precision does not exist.
    """
    precision = resolve_precision(precision, compressed)
    if precision == "fast":
        return {}
    return ROW_INVARIANT_OV_CONFIG if precision == "exact" and compressed else FLOAT32_OV_CONFIG


def contradictions(precision: str, compressed: bool, ov_config: Mapping[str, Any]) -> list[str]:
    """The names in `ov_config` that have another value than `precision` needs. See [`precision_properties`]."""
    properties = precision_properties(precision, compressed)
    return sorted(key for key in properties if key in ov_config and str(ov_config[key]) != properties[key])


def with_precision(precision: str, ov_config: Mapping[str, Any] | None, compressed: bool = False) -> dict[str, Any]:
    """
    Adds the properties of a precision to OpenVINO properties.

    Args:
        precision (`str`): one of `PRECISIONS`.
        ov_config (`Mapping[str, Any]`, *optional*): OpenVINO properties from the user.
        compressed (`bool`, *optional*, defaults to `False`):
            Whether the model is a decoder with compressed weights (INT8, INT4).

    Raises:
        `ValueError`: if the precision does not exist, or a property contradicts it.
    """
    given = dict(ov_config or {})
    clash = contradictions(precision, compressed, given)
    if clash:
        raise ValueError(f"`precision={precision!r}` sets {clash}; leave them out of `ov_config` or use 'fast'")
    return {**given, **precision_properties(precision, compressed)}
