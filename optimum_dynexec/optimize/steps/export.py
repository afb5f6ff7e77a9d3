"""Exports the model in float32."""

from pathlib import Path
from typing import Any

from ...exporters import export_dynexec
from ...quantization.models import check_not_quantized, weight_bytes
from ..context import Context
from ..errors import OptimizeError


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """
    Exports the model, or copies an export.

    Raises:
        [`~quantization.QuantizationError`]: if the model is a quantized export.
        [`~optimize.OptimizeError`]: if dynamic execution cannot make the model faster.
    """
    import openvino as ov

    source = Path(context.source)
    exported = (source / "openvino_model.xml").is_file()
    options: dict[str, Any] = {} if exported else {"weight_format": "fp32"}
    config = export_dynexec(context.source, context.base, task=context.task, **options)
    check_not_quantized(ov.Core().read_model(context.base / "openvino_model.xml"), context.model)
    if not config.hidden_state_names and not config.pageable:
        raise OptimizeError(f"{context.model} can neither be cut between layers nor paged ({config.pageable_reason})")
    size = weight_bytes(context.base)
    verb = "copied" if exported else "exported"
    return {"weight_bytes": size, "places": ["base/openvino_model.xml"]}, [
        f"export: {verb} in fp32, {len(config.hidden_state_names)} layers, {size / 1e6:.0f} MB"
    ]
