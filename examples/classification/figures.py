"""The figures of the examples."""

from pathlib import Path
from typing import Any


Figures = dict[str, list[dict[str, Any]]]


def accuracy_against_latency(figures: Figures, title: str, path: Path) -> None:
    """
    A panel for each batch size: the accuracy of each system against the mean latency of its calls.

    Args:
        figures (`dict[str, list[dict]]`): results of the benchmark, by batch size.
        title (`str`): title of the figure.
        path (`Path`): PNG file to write.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(
        1, len(figures), figsize=(4.6 * len(figures), 3.8), squeeze=False, layout="constrained"
    )
    for axis, (batch, rows) in zip(axes[0], figures.items(), strict=True):
        timed = [row for row in rows if row["mean_ms"] is not None]
        curve = sorted(
            (row["mean_ms"], row["accuracy"]) for row in timed if row["system"].startswith("dynexec, max_prob")
        )
        if curve:
            axis.plot(*zip(*curve, strict=True), marker="o", label="early exit, by threshold")
        for name, marker in (("optimum-intel", "s"), ("dynexec, never exits", "^"), ("dynexec, calibrated", "*")):
            for row in timed:
                if row["system"] == name:
                    axis.plot(row["mean_ms"], row["accuracy"], marker, markersize=10, label=name)
        axis.set(title=f"batch {batch}", xlabel="mean latency of a call, ms", ylabel="accuracy")
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def exit_histogram(figures: Figures, title: str, path: Path) -> None:
    """
    The layers after which samples leave, for thresholds from conservative to aggressive, and for the oracle.

    Args:
        figures (`dict[str, list[dict]]`): results of the benchmark, by batch size; the first size is used.
        title (`str`): title of the figure.
        path (`Path`): PNG file to write.
    """
    plt = _pyplot()
    wanted = ("dynexec, calibrated", "dynexec, max_prob", "oracle")
    rows = [row for row in next(iter(figures.values())) if row["exit_shares"] and row["system"].startswith(wanted)]
    layers = sorted({int(layer) for row in rows for layer in row["exit_shares"]})
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    width = 0.8 / max(len(rows), 1)
    for number, row in enumerate(rows):
        shares = [row["exit_shares"].get(str(layer), 0.0) for layer in layers]
        places = [position + number * width - 0.4 for position in range(len(layers))]
        axis.bar(places, shares, width, align="edge", label=row["system"].removeprefix("dynexec, "))
    axis.set(title=title, xlabel="layer", ylabel="share of samples that exit after the layer")
    axis.set_xticks(range(len(layers)), [str(layer) for layer in layers])
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib

    # No display is needed.
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot
