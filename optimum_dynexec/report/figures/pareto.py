"""The Pareto figure of speed and quality."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .drawing import Drawing, colours_of


if TYPE_CHECKING:
    from matplotlib.figure import Figure


MARKERS = "osD^vP*X"


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """
    The points that no other point beats.

    Args:
        points (`Sequence[tuple[float, float]]`): speed-up (more is better) and loss (less is better) of each point.

    Returns:
        `list`: the points, by speed, for which no other is at least as fast with less loss, or faster with the same
            loss.
    """
    front: list[tuple[float, float]] = []
    for speedup, loss in sorted(set(points), key=lambda point: (-point[0], point[1])):
        if not front or loss < front[-1][1]:
            front.append((speedup, loss))
    return front[::-1]


def draw(result: dict[str, Any], workload: dict[str, Any]) -> list[Drawing]:
    """One point for each system whose loss is known; a line along those that no other beats."""
    rows = [row for row in workload["systems"] if row["loss"] is not None]
    if len(rows) < 2:
        return []
    colours = colours_of([row["model"] for row in workload["systems"]])
    modes = list(dict.fromkeys(row["mode"] for row in workload["systems"]))

    def on(figure: "Figure") -> None:
        axes = figure.subplots()
        front = pareto_front([(row["speedup"], 100 * row["loss"]) for row in rows])
        axes.plot(*zip(*front, strict=True), color="#888888", linewidth=1, zorder=1)
        for row in rows:
            marker = MARKERS[modes.index(row["mode"]) % len(MARKERS)]
            if row.get("loss_interval"):
                low, high = (100 * edge for edge in row["loss_interval"])
                axes.plot([row["speedup"]] * 2, [low, high], color=colours[row["model"]], linewidth=1, zorder=1)
            axes.scatter(
                row["speedup"],
                100 * row["loss"],
                color=colours[row["model"]],
                marker=marker,
                s=55,
                zorder=2,
                label=row["system"],
            )
        axes.axhline(100 * result["max_loss"], color="#B00020", linewidth=1, linestyle="--", label="limit")
        axes.margins(x=0.08, y=0.15)
        axes.invert_yaxis()
        axes.set_xlabel("speed-up")
        axes.set_ylabel(f"{result['texts']['loss']}, % (up is better)")
        figure.legend(loc="outside right upper", frameon=False)

    caption = (
        "Points to the right are faster, points at the top are better. The line joins those that no other point beats."
    )
    caption += " Bars show 95% intervals."
    return [Drawing("Speed and quality", caption, (7.5, 3.8), on)]
