"""Adaptive denoising against optimum-intel's pipeline on the same IR.

    python -m benchmarks.diffusion PIPELINE_DIR --prompts FILE [--data DIR] [--output DIR]

Every system generates images from the same prompts and noise, one image per call, in turns within one run. The
similarity (SSIM) is to optimum-intel's own image with the most steps. "fixed at our mean" uses a fixed number of
steps, the mean of the predictor's numbers. KID needs images of the data. A run that was interrupted resumes where it
stopped.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from optimum.intel import OVDiffusionPipeline
from PIL import Image
from tqdm import tqdm

from optimum_dynexec import DynExecPipelineForText2Image
from optimum_dynexec.benchmark.drawing import from_png, timed_picture, to_png
from optimum_dynexec.benchmark.environment import code_hash, environment
from optimum_dynexec.benchmark.models import describe_model
from optimum_dynexec.benchmark.records import Key, Records
from optimum_dynexec.data.texts import read_texts
from optimum_dynexec.diffusion.step_saver.inference import StepPredictor
from optimum_dynexec.diffusion.step_saver.similarity import ssim
from optimum_dynexec.utils.atomic import write_atomically


@dataclass
class System:
    """
    Args:
        name (`str`): name in the tables.
        steps (`int` or `"auto"`): requested number of steps.
        dynexec (`dict`): policies of the call.
        plain (`bool`): whether to run optimum-intel's pipeline instead of ours.
    """

    name: str
    steps: Any
    dynexec: dict[str, Any] = field(default_factory=dict)
    plain: bool = False


@dataclass(frozen=True)
class Drawing:
    """Time and result of one call. The image (PNG, base64) is kept only for the first repeat."""

    seconds: float
    steps: int
    calls: int
    rows: int
    png: str | None


@dataclass
class Measured:
    """One entry per prompt of a system: the median time of the repeats, and the result of the first repeat."""

    seconds: list[float]
    pictures: list[np.ndarray]
    steps: list[int]
    calls: list[int]
    rows: list[int]


POLICIES: dict[str, dict[str, Any]] = {
    "adaptive guidance": {"adaptive_guidance": {"threshold": 0.97}},
    "convergence": {"convergence": {"tolerance": 0.02}},
    "reuse": {"step_reuse": {"threshold": 0.05, "order": 1}},
}


# For `--sweep`: from conservative to aggressive, the points of the Pareto curve of speed and similarity.
SWEEP: dict[str, dict[str, Any]] = {
    **{f"guidance {value}": {"adaptive_guidance": {"threshold": value}} for value in (0.999, 0.99, 0.95, 0.9)},
    **{f"convergence {value}": {"convergence": {"tolerance": value}} for value in (0.005, 0.01, 0.03, 0.05)},
    **{
        f"reuse {value}, order {order}": {"step_reuse": {"threshold": value, "order": order}}
        for value in (0.01, 0.03, 0.1, 0.3)
        for order in (0, 1)
    },
    **{
        f"every {value} steps, order {order}": {
            "step_reuse": {"criterion": "interval", "interval": value, "order": order}
        }
        for value in (2, 3, 4)
        for order in (1, 2)
    },
}


def make_systems(reference: int, fixed: list[int], mean: int | None, sweep: bool = False) -> list[System]:
    """The systems to compare. `mean` is the predictor's mean number of steps, or `None` without a predictor."""
    together = {name: value for policy in POLICIES.values() for name, value in policy.items()}
    systems = [System(f"fixed {count}", count, plain=True) for count in sorted({reference, *fixed}, reverse=True)]
    systems += [System(f"{name}, of {fixed[0]}", fixed[0], policy) for name, policy in POLICIES.items()]
    systems.append(System(f"all policies, of {fixed[0]}", fixed[0], together))
    if sweep:
        systems += [System(name, fixed[0], policy) for name, policy in SWEEP.items()]
    if mean is not None:
        systems.append(System(f"fixed at our mean, {mean}", mean, plain=True))
        systems.append(System("predicted", "auto"))
        systems.append(System("predicted and all policies", "auto", together))
    return systems


def measure(
    systems: list[System],
    ours: Any,
    plain: Any,
    prompts: list[str],
    repeats: int,
    options: dict[str, Any],
    records: Records[Drawing],
) -> None:
    """Generates the images of all prompts with all systems in turns, except those that already exist."""
    warm = False
    turns = [(number, repeat) for number in range(len(prompts)) for repeat in range(repeats)]
    for number, repeat in tqdm(turns, desc="pictures", unit="turn"):
        # The order changes each time, so that no system always follows the same one.
        for system in systems[repeat % len(systems) :] + systems[: repeat % len(systems)]:
            key = Key(system.name, str(number), repeat)
            if key in records:
                continue
            if not warm:
                for pipeline in (ours, plain):
                    pipeline(prompts[0], num_inference_steps=3, **options)
                warm = True
            pipeline = plain if system.plain else ours
            given = {} if system.plain else {"dynexec": system.dynexec}
            made = timed_picture(pipeline, prompts[number], number, system.steps, **given, **options)
            png = to_png(made.pixels) if repeat == 0 else None
            records.add(key, Drawing(made.seconds, made.steps, made.calls, made.rows, png))


def measured_of(system: System, prompts: list[str], records: Records[Drawing]) -> Measured:
    """The records of a system."""
    runs = [records.runs(system.name, str(number)) for number in range(len(prompts))]
    first = [own[0] for own in runs]
    return Measured(
        [median(run.seconds for run in own) for own in runs],
        [from_png(str(drawing.png)) for drawing in first],
        [drawing.steps for drawing in first],
        [drawing.calls for drawing in first],
        [drawing.rows for drawing in first],
    )


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """
    Kernel distance of two sets of images: the unbiased MMD with the polynomial kernel of Binkowski et al. 2018, on
    features of images that are scaled to 16 x 16. It is KID without the Inception network, which no package registry
    has.

    Args:
        x (`np.ndarray` of shape `[n, height, width, 3]`, uint8): first set of images.
        y (`np.ndarray` of shape `[n, height, width, 3]`, uint8): second set of images.
    """

    def features(pictures: np.ndarray) -> np.ndarray:
        small = [np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX)) for picture in pictures]
        return np.stack(small).reshape(len(small), -1) / 127.5 - 1

    a, b = features(x), features(y)
    kernel: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda u, v: (u @ v.T / u.shape[1] + 1) ** 3  # noqa: E731
    aa, bb, ab = kernel(a, a), kernel(b, b), kernel(a, b)
    n, m = len(a), len(b)
    within = (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within - 2 * ab.mean())


def report(measured: dict[str, Measured], reference: str, baseline: str, data: np.ndarray | None) -> list[dict]:
    """One row of figures for each system."""
    rows = []
    base = sum(measured[baseline].seconds)
    for name, own in measured.items():
        pairs = zip(own.pictures, measured[reference].pictures, strict=True)
        similarity = np.array([ssim(picture, full) for picture, full in pairs])
        rows.append(
            {
                "system": name,
                "seconds": sum(own.seconds) / len(own.seconds),
                "speed-up": base / sum(own.seconds),
                "mean steps": float(np.mean(own.steps)),
                "network calls": float(np.mean(own.calls)),
                "network rows": float(np.mean(own.rows)),
                "SSIM": float(similarity.mean()),
                "SSIM, worst decile": float(np.sort(similarity)[: max(1, len(similarity) // 10)].mean()),
                **({"KID": kid(np.stack(own.pictures), data)} if data is not None else {}),
                "steps histogram": {
                    int(k): int(v) for k, v in zip(*np.unique(own.steps, return_counts=True), strict=True)
                },
            }
        )
    return rows


def sheet(measured: dict[str, Measured], count: int = 12) -> Image.Image:
    """Images side by side: a row for each system, a column for each prompt."""
    rows = [np.concatenate(own.pictures[:count], axis=1) for own in measured.values()]
    return Image.fromarray(np.concatenate(rows, axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", type=Path, help="Directory of an exported pipeline.")
    parser.add_argument("--prompts", required=True, help="File of prompts that were not used to train the predictor.")
    parser.add_argument("--data", type=Path, default=None, help="Folder of PNG images, for KID.")
    parser.add_argument(
        "--output", type=Path, default=Path("build/benchmark-diffusion"), help="Directory for the results."
    )
    parser.add_argument("--max-prompts", type=int, default=50, help="Maximum number of prompts.")
    parser.add_argument("--repeats", type=int, default=5, help="Number of runs of each prompt.")
    parser.add_argument("--reference", type=int, default=100, help="Number of steps of the reference image.")
    parser.add_argument(
        "--fixed",
        type=int,
        nargs="+",
        default=[50],
        help="Fixed numbers of steps. Speed-ups are relative to the first.",
    )
    parser.add_argument("--sweep", action="store_true", help="Also measure each policy with several thresholds.")
    parser.add_argument(
        "--guidance-scale", type=float, default=None, help="Guidance scale. Default: that of the pipeline."
    )
    args = parser.parse_args()

    prompts = read_texts(args.prompts)[: args.max_prompts]
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    ours = DynExecPipelineForText2Image.from_pretrained(args.pipeline, export=False, ov_config=dict(config))
    plain = OVDiffusionPipeline.from_pretrained(args.pipeline, export=False, ov_config=dict(config))
    for pipeline in (ours, plain):
        pipeline.set_progress_bar_config(disable=True)
    try:
        mean = round(float(np.mean(StepPredictor.beside(args.pipeline).predict(prompts))))
    except FileNotFoundError:
        mean = None
        print("The pipeline has no step predictor, so the systems that need one are left out.")
    options = {} if args.guidance_scale is None else {"guidance_scale": args.guidance_scale}

    systems = make_systems(args.reference, args.fixed, mean, args.sweep)
    setting = {
        "model": describe_model(args.pipeline),
        "code": code_hash(),
        "environment": environment(),
        "policies": {**POLICIES, **SWEEP},
        "prompts": prompts,
        "options": options,
    }
    records: Records[Drawing] = Records(args.output / "records.jsonl", setting, Drawing)
    measure(systems, ours, plain, prompts, args.repeats, options, records)
    measured = {system.name: measured_of(system, prompts, records) for system in systems}
    data = None
    if args.data is not None:
        pictures = [Image.open(path).convert("RGBA") for path in sorted(args.data.glob("*.png"))]
        white = [Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture) for picture in pictures]
        data = np.stack([np.asarray(picture.convert("RGB")) for picture in white])
    rows = report(measured, f"fixed {args.reference}", f"fixed {args.fixed[0]}", data)
    args.output.mkdir(parents=True, exist_ok=True)
    found = {"environment": environment(), "prompts": prompts, "repeats": args.repeats, "systems": rows}
    write_atomically(args.output / "figures.json", json.dumps(found, indent=2).encode())
    sheet(measured).save(args.output / "pictures.png")
    columns = [name for name in rows[0] if name not in ("system", "steps histogram")]
    print(f"{'system':<32}" + "".join(f"{name:>20}" for name in columns))
    for row in rows:
        print(f"{row['system']:<32}" + "".join(f"{row[name]:>20.3f}" for name in columns))
    print(f"{len(prompts)} prompts, medians of {args.repeats} runs in turns; {environment()}")


if __name__ == "__main__":
    main()
