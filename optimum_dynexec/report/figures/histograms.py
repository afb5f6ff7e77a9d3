"""Histograms: exits, accepted lengths, steps."""

from typing import TYPE_CHECKING, Any

from .drawing import Drawing, colours_of


if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLUMNS = 3


def draw(result: dict[str, Any], workload: dict[str, Any]) -> list[Drawing]:
    """The histogram of the task and, for decoders with early exit, of the exit layers."""
    texts = result["texts"]
    kinds = {
        "histogram": (texts["histogram"], texts["histogram_axis"]),
        "exit_histogram": ("Exit layers of tokens", "exit layer"),
    }
    drawings = [_draw(workload, key, *named) for key, named in kinds.items()]
    return [drawing for drawing in drawings if drawing is not None]


def _draw(workload: dict[str, Any], key: str, title: str, axis: str) -> Drawing | None:
    rows = [row for row in workload["systems"] if row.get(key)]
    if not rows:
        return None
    colours = colours_of([row["model"] for row in workload["systems"]])
    lines = -(-len(rows) // COLUMNS)

    def on(figure: "Figure") -> None:
        columns = min(COLUMNS, len(rows))
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        every = sorted({int(name) for row in rows for name in row[key]})
        for index, row in enumerate(rows):
            axes = grid[index // columns][index % columns]
            total = sum(row[key].values())
            shares = [100 * row[key].get(str(name), 0) / total if total else 0.0 for name in every]
            axes.bar([str(name) for name in every], shares, color=colours[row["model"]])
            axes.set_title(f"{row['system']} ({total})", fontsize=10)
            if len(every) > 12:
                axes.set_xticks(range(0, len(every), -(-len(every) // 12)))
        for axes in grid.flat[len(rows) :]:
            axes.set_visible(False)
        figure.supxlabel(axis, fontsize=10)
        figure.supylabel("share, %", fontsize=10)

    return Drawing(title, "The numbers in brackets are totals.", (7.5, 0.7 + 1.9 * lines), on)
