"""Extrapolation of a network's output over timesteps."""

from collections.abc import Sequence


def extrapolation_weights(nodes: Sequence[float], at: float) -> list[float]:
    """
    Weights of the values at some points in the polynomial through them, taken at another point (Lagrange). With two
    points that is the straight line, TaylorSeer's first order with finite differences (arXiv 2503.06923, eq. 7), and
    so on; unlike there, the points need not lie at equal distances.

    Args:
        nodes (`Sequence[float]`): one or more different points.
        at (`float`): where to.

    Returns:
        `list[float]`: one weight for each point; their sum is 1.

    Raises:
        `ValueError`: if there are no points, or two are the same.
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
