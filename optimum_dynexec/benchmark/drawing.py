"""One picture of a diffusion pipeline, timed."""

import base64
import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image


if TYPE_CHECKING:
    from optimum.intel import OVDiffusionPipeline


@dataclass(frozen=True)
class Picture:
    """
    What came of one prompt.

    Args:
        pixels (`np.ndarray` uint8 `[height, width, 3]`): the picture.
        seconds (`float`): the call took.
        steps (`int`): for which the network ran.
        calls (`int`): of the network.
        rows (`int`): of the batches of these calls, which is what the work is proportional to.
    """

    pixels: np.ndarray
    seconds: float
    steps: int
    calls: int
    rows: int


def timed_picture(
    pipeline: "OVDiffusionPipeline", prompt: str, seed: int, steps: int | str, **options: Any
) -> Picture:
    """
    Draws one picture.

    Args:
        pipeline ([`DynExecDiffusionPipeline`] or `OVDiffusionPipeline`): loaded.
        prompt (`str`): what to draw.
        seed (`int`): of the noise.
        steps (`int` or `"auto"`): of denoising.
        options: further arguments of the call.
    """
    generator = torch.Generator().manual_seed(seed)
    started = time.perf_counter()
    output = pipeline(prompt, num_inference_steps=steps, generator=generator, output_type="np", **options)
    seconds = time.perf_counter() - started
    pixels = np.round(output.images[0] * 255).astype(np.uint8)
    stats = getattr(output, "dynexec", None)
    if stats is not None:
        return Picture(pixels, seconds, stats.steps_run[0], stats.network_calls, stats.network_rows)
    # optimum-intel's own pipeline runs all steps.
    count = int(steps)
    return Picture(pixels, seconds, count, count, count * (2 if pipeline.do_classifier_free_guidance else 1))


def to_png(pixels: np.ndarray) -> str:
    """A picture as base64 of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def from_png(content: str) -> np.ndarray:
    """The picture that [`to_png`] was given."""
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        return np.asarray(picture.convert("RGB"))
