"""Diffusion pipelines: latency, network calls, similarity of images."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...diffusion.step_saver.similarity import ssim
from ...precision import with_precision
from ...utils.intervals import mean_interval
from ...utils.losses import NOTHING, mean_loss
from ..drawing import from_png, timed_picture, to_png
from ..prompts import read_prompts
from ..records import Records
from ..systems import System
from .base import BenchmarkTask, Column, Texts


if TYPE_CHECKING:
    from ..arguments import BenchmarkArguments


# The policies that README and docs/diffusion.md recommend to start with.
DEFAULT_DYNAMIC = {"adaptive_guidance": True, "step_reuse": True}
# The sheet of images for the report: number of prompts, and maximum side of an image in pixels.
SHEET_PROMPTS = 6
SHEET_SIDE = 128
WARM_UP_STEPS = 3


def _interval(similarities: np.ndarray) -> list[float] | None:
    found = mean_interval(similarities)
    return None if found is None else list(found)


class DiffusionBenchmark(BenchmarkTask):
    """Calls that generate one image each, with the same prompts and the same noise for all systems."""

    texts = Texts(
        speed="images/s",
        request="an image",
        loss="dissimilarity (1 - SSIM) to the baseline's image",
        loss_missing="",
        histogram="Denoising steps per image",
        histogram_axis="steps in which the network ran",
        dynamic="adaptive denoising",
        loss_unit="images",
    )
    columns = (
        Column("latency_ms", "mean ms", "{:.0f}", "mean latency of an image in milliseconds"),
        Column("latency_p99_ms", "p99 ms", "{:.0f}", "latency that 99% of images stay below"),
        Column("mean_steps", "steps", "{:.1f}", "mean number of steps in which the network ran"),
        Column("network_calls", "network calls", "{:.1f}", "number of network calls per image"),
        Column(
            "network_rows", "network rows", "{:.1f}", "number of batch rows in these calls, proportional to the work"
        ),
        Column("pictures", "images", "{:d}", "number of images generated"),
        Column(
            "similarity",
            "SSIM to plain",
            "{:.3f}",
            "similarity to the model's own plain image; 1 is the same image",
            "similarity_interval",
        ),
        Column(
            "worst_similarity",
            "SSIM, worst decile",
            "{:.3f}",
            "mean SSIM to plain of the 10% of images that differ most",
        ),
        Column(
            "baseline_similarity",
            "SSIM to baseline",
            "{:.3f}",
            "similarity to the plain image of the first model; 1 is the same image",
            "baseline_similarity_interval",
        ),
    )

    def __init__(self, models: Mapping[str, Path], data: Sequence[str], arguments: "BenchmarkArguments"):
        super().__init__(models, data, arguments)
        self.prompts = {question.question_id: question.text for question in read_prompts(data, arguments.max_samples)}
        self.items = list(self.prompts)
        self.data_hash = f"sha256:{hashlib.sha256(json.dumps(self.prompts).encode()).hexdigest()}"
        self._seeds = {item: arguments.seed + index for index, item in enumerate(self.items)}
        self._loaded: dict[str, Any] = {}

    def load(self, systems: Sequence[System]) -> None:
        from ...diffusion import DynExecDiffusionPipeline

        ov_config = with_precision(self.arguments.precision, self.ov_config)
        for name, directory in self.models.items():
            pipeline = DynExecDiffusionPipeline.from_pretrained(
                directory, export=False, device=self.arguments.device, ov_config=ov_config
            )
            pipeline.set_progress_bar_config(disable=True)
            self._loaded[name] = pipeline

    def run(self, system: System, item: str, warm_up: bool = False, first: bool = True) -> dict[str, Any]:
        options = dict((DEFAULT_DYNAMIC if system.options is None else system.options) if not system.plain else {})
        steps = options.pop("num_inference_steps", self.arguments.num_inference_steps)
        guidance = self.arguments.guidance_scale
        made = timed_picture(
            self._loaded[system.model],
            self.prompts[item],
            self._seeds[item],
            WARM_UP_STEPS if warm_up else steps,
            dynexec=options or None,
            **({} if guidance is None else {"guidance_scale": guidance}),
        )
        return {
            "seconds": made.seconds,
            "steps": made.steps,
            "calls": made.calls,
            "rows": made.rows,
            "png": to_png(made.pixels) if first and not warm_up else None,
        }

    def work(self, record: dict[str, Any]) -> int:
        return 1

    def workloads(self) -> dict[str, list[str]]:
        return {"all prompts": self.items}

    def figures(self, system: System, items: Sequence[str], records: Records[dict[str, Any]]) -> dict[str, Any]:
        rows = [records.runs(system.name, item) for item in items]
        pictures = self._pictures(system.name, items, records)
        to_own, to_baseline = (
            np.array(
                [ssim(mine, other) for mine, other in zip(pictures, self._pictures(name, items, records), strict=True)]
            )
            for name in (f"{system.model}/off", f"{self.baseline}/off")
        )
        latency = 1e3 * np.array([np.median([run["seconds"] for run in runs]) for runs in rows])
        first = [runs[0] for runs in rows]
        steps = Counter(run["steps"] for run in first)
        return {
            "speed": float(1e3 * len(items) / latency.sum()),
            "latency_ms": float(latency.mean()),
            "latency_p99_ms": float(np.percentile(latency, 99)),
            **(NOTHING if system.plain and system.model == self.baseline else mean_loss(1 - to_baseline).figures()),
            "pictures": len(items),
            "mean_steps": float(np.mean([run["steps"] for run in first])),
            "network_calls": float(np.mean([run["calls"] for run in first])),
            "network_rows": float(np.mean([run["rows"] for run in first])),
            "similarity": float(to_own.mean()),
            "similarity_interval": None if system.plain else _interval(to_own),
            "baseline_similarity_interval": _interval(to_baseline),
            "worst_similarity": float(np.sort(to_own)[: max(1, len(to_own) // 10)].mean()),
            "baseline_similarity": float(to_baseline.mean()),
            "histogram": {str(count): steps[count] for count in sorted(steps)},
            "warnings": [],
        }

    def _pictures(self, system: str, items: Sequence[str], records: Records[dict[str, Any]]) -> list[np.ndarray]:
        return [from_png(records.runs(system, item)[0]["png"]) for item in items]

    def images(self, systems: Sequence[System], records: Records[dict[str, Any]]) -> list[dict[str, str]]:
        """A row of images for each system."""
        from PIL import Image

        found = []
        for system in systems:
            shown = self._pictures(system.name, self.items[:SHEET_PROMPTS], records)
            pictures = [Image.fromarray(pixels) for pixels in shown]
            for picture in pictures:
                picture.thumbnail((SHEET_SIDE, SHEET_SIDE))
            row = np.concatenate([np.asarray(picture) for picture in pictures], axis=1)
            found.append({"title": system.name, "png": to_png(row)})
        return found
