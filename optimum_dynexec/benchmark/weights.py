"""The types in which a model's weights are stored."""

from pathlib import Path


def weight_compression(directory: Path, name: str = "openvino_model") -> str:
    """The types of an OpenVINO model's constants with their shares of the bytes, read from the model itself."""
    import openvino as ov

    model = ov.Core().read_model(directory / f"{name}.xml")
    types: dict[str, int] = {}
    for op in model.get_ops():
        if op.get_type_name() == "Constant":
            kind = op.get_output_element_type(0).get_type_name()
            types[kind] = types.get(kind, 0) + op.get_byte_size()
    total = sum(types.values())
    shares = sorted(types.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {size / total:.0%}" for kind, size in shares if size >= 0.01 * total)
