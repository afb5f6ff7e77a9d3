"""What one call of an encoder with early exit did, in figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EncoderStats:
    """
    Statistics of one call, or of one stream so far. Times are wall clock seconds; `print` gives a readable block.

    Args:
        samples (`int`): that have left.
        exit_histogram (`dict[int, int]`): how many left after each layer; the last layer is the full model.
        mean_exit_layer (`float`): mean of the number of layers that were run, less one: comparable with layers.
        segment_rows (`list[int]`): samples that each segment ran.
        segment_passes (`list[int]`): passes of each segment; with the former, the mean size of its batches.
        segment_places (`list[int]`): samples times places of their sequence, padding included, that each segment ran.
        segment_seconds (`list[float]`): in each segment.
        head_seconds (`float`): in the exit heads.
        total_seconds (`float`): in the engine.
        out_of_time (`int`, *optional*, defaults to 0): of those that left early, how many for `deadline_ms`.
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
    def from_native(cls, stats: Any, layers: Sequence[int]) -> "EncoderStats":
        """
        Makes the statistics of what the engine counted.

        Args:
            stats (`_C.EncoderStats`): from the engine.
            layers (`Sequence[int]`): of the exits, then the model's last.
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
                f"seconds                {self.total_seconds:.4f}, {sum(self.segment_seconds):.4f} of them in segments"
                f" and {self.head_seconds:.4f} in heads",
            ]
        )
