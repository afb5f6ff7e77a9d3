"""The goals of an optimization. A recipe is a line in the registry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """
    The methods to try and the measure for the choice.

    Args:
        objective (`str`): `"latency"`, `"throughput"` or `"memory"`: measure by which weight formats are compared.
        tuned_for (`str`): `"latency"` or `"throughput"`: objective of the tuning.
        formats (`dict[str, tuple[str, ...]]`): quantizations to try, by the kind of model.
        heads (`dict[str, bool]`): whether heads are trained, by the kind of model.
    """

    objective: str
    tuned_for: str
    formats: dict[str, tuple[str, ...]]
    heads: dict[str, bool]


RECIPES = {
    "latency": Recipe(
        "latency",
        "latency",
        {"decoder": ("int8", "int4"), "encoder": ("int8-weights", "int8")},
        {"decoder": True, "encoder": True},
    ),
    "throughput": Recipe(
        "throughput",
        "throughput",
        {"decoder": ("int8", "int4"), "encoder": ("int8-weights", "int8")},
        {"decoder": True, "encoder": True},
    ),
    # A draft head takes memory that prompt lookup does not.
    "memory": Recipe(
        "memory",
        "latency",
        {"decoder": ("int4", "int4-mixed", "int8"), "encoder": ("int8-weights", "int8")},
        {"decoder": False, "encoder": True},
    ),
}
