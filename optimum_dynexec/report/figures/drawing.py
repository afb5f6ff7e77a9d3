"""Makes SVG drawings for a page with matplotlib."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Okabe and Ito's colours, which people who see few colours can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Drawing:
    """
    A figure before it is drawn.

    Args:
        title (`str`): title above the figure.
        caption (`str`): caption below the figure.
        size (`tuple[float, float]`): size in inches.
        draw (`Callable`): function that draws on a `matplotlib.figure.Figure`.
    """

    title: str
    caption: str
    size: tuple[float, float]
    draw: Callable[["Figure"], None]

    def svg(self, salt: str) -> str:
        """
        Draws it.

        Args:
            salt (`str`): different text for each figure of a page, because names in them must differ.
        """
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure)
            buffer = io.StringIO()
            nothing = dict.fromkeys(("Date", "Creator", "Type", "Format"))
            figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
        return embeddable(buffer.getvalue())


def embeddable(svg: str) -> str:
    """An SVG file without the parts that a page cannot contain: its prologue and unused names."""
    svg = svg[svg.index("<svg") :]
    used = {*re.findall(r"url\(#([^)]+)\)", svg), *re.findall(r'href="#([^"]+)"', svg)}
    return re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)


def colours_of(names: list[str]) -> dict[str, str]:
    """A colour for each name; the first keeps the first."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(dict.fromkeys(names))}
