"""Converts a head's OpenVINO model to another weight format. A format is a line in the registry."""

import math
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from ..graph.compressed_weights import is_compressed_constant, leads_to_compressed


# The arguments of NNCF for each format.
WEIGHT_FORMATS: dict[str, dict[str, Any] | None] = {
    "fp32": None,
    "int8": {"mode": "int8_sym"},
    "int4": {"mode": "int4_sym", "all_layers": True},
}
# The largest number of weights that share a scale in 4 bits.
GROUP_SIZE = 64


def check_weight_format(weight_format: str, name: str = "weight_format") -> None:
    """
    Raises:
        `ValueError`: if the format does not exist.
    """
    if weight_format not in WEIGHT_FORMATS:
        raise ValueError(f"`{name}` must be one of {list(WEIGHT_FORMATS)}, got {weight_format!r}")


def with_weight_format(model: ov.Model, weight_format: str) -> ov.Model:
    """
    Converts a head from any format to another one. Precision that an earlier compression has lost stays lost.

    Args:
        model (`openvino.Model`): model of a head, which is not changed.
        weight_format (`str`):
            `"fp32"`, `"int8"` or `"int4"`, with `nncf.compress_weights`, symmetric. In 4 bits, at most 64 weights of a
            row share a scale.

    Raises:
        `ValueError`: if the format does not exist.
    """
    check_weight_format(weight_format)
    model = _decompressed(model)
    options = WEIGHT_FORMATS[weight_format]
    if options is None:
        return model
    import nncf

    options = {**options, "mode": nncf.CompressWeightsMode(options["mode"])}
    if "all_layers" in options:
        options["group_size"] = _group_size(model)
    others = [node.get_friendly_name() for node in _products(model) if not _is_matrix(node.input_value(1).get_node())]
    # The frequencies of rotary positions are also a constant in a product, but they are not a weight.
    options["ignored_scope"] = nncf.IgnoredScope(names=others)
    return nncf.compress_weights(model, **options)


def is_compressed(model: ov.Model) -> bool:
    """Whether some weights have 8 bits or fewer."""
    return any(is_compressed_constant(node) for node in model.get_ops())


def _decompressed(model: ov.Model) -> ov.Model:
    """A clone whose compressed matrices are float32 constants."""
    model = model.clone()
    for product in _products(model):
        weight = product.input_value(1)
        if not leads_to_compressed(weight.get_node()):
            continue
        compiled = ov.Core().compile_model(
            ov.Model([ops.result(ops.convert(weight, "f32"))], []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        values = np.array(compiled([])[0], np.float32)
        # The name of the weight in a model that was never compressed.
        name = weight.get_node().get_friendly_name().removesuffix("/scaled")
        product.input(1).replace_source_output(ops.constant(values, name=name).output(0))
    if model.has_rt_info(["nncf"]):
        # NNCF skips a model that is marked as compressed.
        model.set_rt_info({}, ["nncf"])
    model.validate_nodes_and_infer_types()
    return model


def _group_size(model: ov.Model) -> int:
    """The largest size up to [`GROUP_SIZE`] that divides the rows of all matrices."""
    weights = [product.input_value(1) for product in _products(model)]
    return math.gcd(GROUP_SIZE, *(value.get_shape()[-1] for value in weights if _is_matrix(value.get_node())))


def _products(model: ov.Model) -> list[ov.Node]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]


def _is_matrix(node: ov.Node) -> bool:
    return node.get_type_name() == "Constant" and len(node.get_output_shape(0)) == 2
