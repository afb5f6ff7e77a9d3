"""The argument `precision`: the OpenVINO properties that it sets."""

from collections.abc import Mapping
from typing import Any


# A row of logits then depends on its own input alone, not on the number of rows in a forward pass, so neither
# speculation nor a batch can change which token is chosen.
EXACT_OV_CONFIG = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
PRECISIONS: dict[str, Mapping[str, str]] = {"exact": EXACT_OV_CONFIG, "fast": {}}


def precision_of(ov_config: Mapping[str, Any]) -> str:
    """The precision of a model with these OpenVINO properties: `"exact"` if they contain all properties of it."""
    exact = all(str(ov_config.get(key)) == value for key, value in EXACT_OV_CONFIG.items())
    return "exact" if exact else "fast"


def check_precision(precision: object) -> None:
    """
    Raises:
        `ValueError`: if the precision does not exist.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {sorted(PRECISIONS)}, got {precision!r}")


def with_precision(precision: str, ov_config: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Adds the properties of a precision to OpenVINO properties.

    Args:
        precision (`str`): name of the precision, one of `PRECISIONS`.
        ov_config (`Mapping[str, Any]`, *optional*): OpenVINO properties from the user.

    Raises:
        `ValueError`: if the precision does not exist, or a property contradicts it.
    """
    check_precision(precision)
    given, properties = ov_config or {}, PRECISIONS[precision]
    clash = sorted(key for key in properties if key in given and str(given[key]) != properties[key])
    if clash:
        raise ValueError(f"`precision={precision!r}` sets {clash}; leave them out of `ov_config` or use 'fast'")
    return {**given, **properties}
