"""Extrapolation of a network's output over timesteps."""

from collections.abc import Sequence


def extrapolation_weights(nodes: Sequence[float], at: float) -> list[float]:
    """
    Gives the weights with which values at some points extrapolate to another point, along the polynomial through them
    (Lagrange). With two points the polynomial is a straight line, which is TaylorSeer's first order with finite
    differences (arXiv 2503.06923, eq. 7), and so on. Unlike in TaylorSeer, the points need not be equally spaced.

    Args:
        nodes (`Sequence[float]`): one or more different points.
        at (`float`): point to extrapolate to.

    Returns:
        `list[float]`: one weight for each point; their sum is 1.

    Raises:
        `ValueError`: if there are no points, or two points are equal.
    """
    if not nodes or len(set(nodes)) != len(nodes):
        raise ValueError(f"extrapolation needs one or more different points, but they are {list(nodes)}")
    weights = []
    for i, node in enumerate(nodes):
        weight = 1.0
        for j, other in enumerate(nodes):
            if j != i:
                weight *= (at - other) / (node - other)
        weights.append(weight)
    return weights
