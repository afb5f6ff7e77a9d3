"""Speed-ups as bars."""

from typing import TYPE_CHECKING, Any

from .drawing import Drawing, colours_of


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(result: dict[str, Any], workload: dict[str, Any]) -> list[Drawing]:
    """One bar for each system, in the order of the tables."""
    rows = workload["systems"]
    colours = colours_of([row["model"] for row in rows])

    def on(figure: "Figure") -> None:
        axes = figure.subplots()
        names = [row["system"] for row in rows]
        bars = axes.barh(names, [row["speedup"] for row in rows], color=[colours[row["model"]] for row in rows])
        for bar, row in zip(bars, rows, strict=True):
            bar.set_alpha(1.0 if row["within_limit"] else 0.35)
        axes.bar_label(bars, [f"{row['speedup']:.2f} ×" for row in rows], padding=3)
        axes.axvline(1, color="#888888", linewidth=0.8, linestyle="--", zorder=0)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(f"speed-up over plain {rows[0]['model']}")

    caption = f"Speed ({result['texts']['speed']}) relative to the first row."
    if any(not row["within_limit"] for row in rows):
        caption += " Pale bars are beyond the quality limit, undecided, or have an unknown loss."
    return [Drawing("Speed-up", caption, (7.5, 0.6 + 0.36 * len(rows)), on)]
