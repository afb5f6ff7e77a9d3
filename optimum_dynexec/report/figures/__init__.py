"""Figures of a report, one file for each kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import not_installed
from . import histograms, pareto, speedups
from .drawing import Drawing


@dataclass(frozen=True)
class Figure:
    """
    A figure on the page.

    Args:
        title (`str`): title above the figure.
        caption (`str`): caption below the figure.
        svg (`str`): drawing as SVG.
    """

    title: str
    caption: str
    svg: str


# Each function takes results and one of their workloads and makes drawings.
FIGURES: tuple[Callable[[dict[str, Any], dict[str, Any]], list[Drawing]], ...] = (
    speedups.draw,
    pareto.draw,
    histograms.draw,
)


def draw_figures(result: dict[str, Any], workload: dict[str, Any], number: int) -> list[Figure]:
    """
    All figures for which there are measurements.

    Args:
        result (`dict`): results of a benchmark.
        workload (`dict`): workload of the results.
        number (`int`): number of the result on the page.

    Raises:
        [`~report.ReportError`]: if matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise not_installed("matplotlib") from error
    drawings = [drawing for draw in FIGURES for drawing in draw(result, workload)]
    return [
        Figure(drawing.title, drawing.caption, drawing.svg(f"{number}-{index}"))
        for index, drawing in enumerate(drawings)
    ]
