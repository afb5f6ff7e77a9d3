"""Statistics of one call of an encoder with early exit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from ..native import _C


@dataclass(frozen=True)
class EncoderStats:
    """
    Statistics of one call, or of one stream so far. Times are wall-clock seconds. `print` shows a readable summary.

    Args:
        samples (`int`): number of samples that have left.
        exit_histogram (`dict[int, int]`):
            number of samples that left after each layer; the last layer is the full model.
        mean_exit_layer (`float`): mean index of the layer after which a sample left; 0 is the first layer.
        segment_rows (`list[int]`): number of samples that each segment ran.
        segment_passes (`list[int]`):
            number of forward passes of each segment. `segment_rows` divided by it is the mean batch size.
        segment_places (`list[int]`): number of sequence positions that each segment ran, including padding.
        segment_seconds (`list[float]`): time in each segment.
        head_seconds (`float`): time in the exit heads.
        total_seconds (`float`): time in the engine.
        out_of_time (`int`, *optional*, defaults to 0): number of samples that left early because of `deadline_ms`.
    """

    samples: int
    exit_histogram: dict[int, int]
    mean_exit_layer: float
    segment_rows: list[int]
    segment_passes: list[int]
    segment_places: list[int]
    segment_seconds: list[float]
    head_seconds: float
    total_seconds: float
    out_of_time: int = 0

    @classmethod
    def from_native(cls, stats: "_C.EncoderStats", layers: Sequence[int]) -> "EncoderStats":
        """
        Makes the statistics from the engine's counts.

        Args:
            stats (`_C.EncoderStats`): counts of the engine.
            layers (`Sequence[int]`): exit layers, followed by the model's last layer.
        """
        histogram: Mapping[int, int] = dict(zip(layers, stats.exits, strict=True))
        samples = sum(stats.exits)
        mean = sum(layer * count for layer, count in histogram.items()) / samples if samples else float("nan")
        return cls(
            samples=samples,
            exit_histogram=dict(histogram),
            mean_exit_layer=mean,
            out_of_time=stats.out_of_time,
            segment_rows=list(stats.rows),
            segment_passes=list(stats.passes),
            segment_places=list(stats.places),
            segment_seconds=list(stats.segment_seconds),
            head_seconds=stats.head_seconds,
            total_seconds=stats.total_seconds,
        )

    def __str__(self) -> str:
        shares = ", ".join(
            f"{layer}: {count / max(self.samples, 1):.1%}" for layer, count in self.exit_histogram.items()
        )
        batches = ", ".join(
            f"{rows / passes:.1f}" if passes else "-"
            for rows, passes in zip(self.segment_rows, self.segment_passes, strict=True)
        )
        return "\n".join(
            [
                f"samples                {self.samples}",
                f"left after layer       {shares}",
                f"mean exit layer        {self.mean_exit_layer:.2f}",
                *([f"for the deadline       {self.out_of_time}"] if self.out_of_time else []),
                f"mean batch by segment  {batches}",
                f"seconds                {self.total_seconds:.4f}, of which {sum(self.segment_seconds):.4f} in"
                " segments"
                f" and {self.head_seconds:.4f} in heads",
            ]
        )
