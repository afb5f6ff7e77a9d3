"""Walks over an OpenVINO graph."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from openvino import Model, Node


def nodes_before(ends: Iterable["Node"]) -> list["Node"]:
    """All nodes that `ends` depend on, and `ends`, each once."""
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


def nodes_by_name(model: "Model", names: Sequence[str]) -> dict[str, "Node"]:
    """
    The nodes with these friendly names.

    Raises:
        `ValueError`: if the model does not have one of the nodes.
    """
    wanted = set(names)
    nodes = {node.get_friendly_name(): node for node in model.get_ops() if node.get_friendly_name() in wanted}
    missing = [name for name in names if name not in nodes]
    if missing:
        raise ValueError(
            f"the model has no node named {missing}: its dynexec_config.json is for another model, so export it again"
        )
    return nodes


def parameters_before(ends: Iterable["Node"]) -> list["Node"]:
    """The parameters among [`nodes_before`]."""
    return [node for node in nodes_before(ends) if node.get_type_name() == "Parameter"]
