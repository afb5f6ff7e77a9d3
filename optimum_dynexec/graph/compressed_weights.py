"""Whether a graph has compressed weights."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from openvino import Model, Node


COMPRESSED_TYPES = ("i8", "u8", "i4", "u4")
DECOMPRESSION_TYPES = ("Convert", "Subtract", "Multiply", "Reshape", "Transpose")


def has_compressed_products(model: "Model") -> bool:
    """Whether a product of the model has a weight of 8 bits or fewer (INT8, INT4)."""
    products = (node for node in model.get_ops() if node.get_type_name() == "MatMul")
    return any(leads_to_compressed(node.input_value(1).get_node()) for node in products)


def leads_to_compressed(node: "Node") -> bool:
    """Whether a node decompresses a constant of 8 bits or fewer."""
    while node.get_type_name() in DECOMPRESSION_TYPES:
        node = node.input_value(0).get_node()
    return is_compressed_constant(node)


def is_compressed_constant(node: "Node") -> bool:
    """Whether a node is a constant of 8 bits or fewer."""
    return node.get_type_name() == "Constant" and node.get_output_element_type(0).to_string() in COMPRESSED_TYPES
