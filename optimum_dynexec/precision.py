"""How exactly a model computes: what the argument `precision` asks of OpenVINO."""

from collections.abc import Mapping
from typing import Any


# A row of logits then depends on its own input alone and not on how many rows share a forward pass, so that neither
# speculation nor a batch can change what is chosen.
EXACT_OV_CONFIG = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
PRECISIONS: dict[str, Mapping[str, str]] = {"exact": EXACT_OV_CONFIG, "fast": {}}


def precision_of(ov_config: Mapping[str, Any]) -> str:
    """Which of `PRECISIONS` a model with these OpenVINO properties computes in: `"exact"`, if all of its are there."""
    exact = all(str(ov_config.get(key)) == value for key, value in EXACT_OV_CONFIG.items())
    return "exact" if exact else "fast"


def check_precision(precision: Any) -> None:
    """
    Raises:
        `ValueError`: if there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {sorted(PRECISIONS)}, got {precision!r}")


def with_precision(precision: str, ov_config: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Adds to OpenVINO properties those of a precision.

    Args:
        precision (`str`): one of `PRECISIONS`.
        ov_config (`Mapping[str, Any]`, *optional*): as the user gave it.

    Raises:
        `ValueError`: if there is no such precision, or a property is given that contradicts it.
    """
    check_precision(precision)
    given, properties = ov_config or {}, PRECISIONS[precision]
    clash = sorted(key for key in properties if key in given and str(given[key]) != properties[key])
    if clash:
        raise ValueError(f"`precision={precision!r}` sets {clash}; leave them out of `ov_config` or use 'fast'")
    return {**given, **properties}
