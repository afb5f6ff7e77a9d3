"""Walks over an OpenVINO graph."""

from collections.abc import Iterable
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from openvino import Node


def nodes_before(ends: Iterable["Node"]) -> list["Node"]:
    """All nodes that `ends` depend on, they included, each once."""
    seen: set[str] = set()
    found, stack = [], list(ends)
    while stack:
        node = stack.pop()
        if node.get_name() in seen:
            continue
        seen.add(node.get_name())
        found.append(node)
        stack += [value.get_node() for value in node.input_values()]
    return found


def parameters_before(ends: Iterable["Node"]) -> list["Node"]:
    """The parameters among [`nodes_before`]."""
    return [node for node in nodes_before(ends) if node.get_type_name() == "Parameter"]
