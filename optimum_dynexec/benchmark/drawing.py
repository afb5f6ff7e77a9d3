"""A timed image of a diffusion pipeline."""

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
    The image for one prompt.

    Args:
        pixels (`np.ndarray` uint8 `[height, width, 3]`): pixels of the image.
        seconds (`float`): time of the call in seconds.
        steps (`int`): number of steps in which the network ran.
        calls (`int`): number of calls of the network.
        rows (`int`): number of rows in the batches of these calls. The work is proportional to it.
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
    Generates one image.

    Args:
        pipeline ([`DynExecDiffusionPipeline`] or `OVDiffusionPipeline`): loaded pipeline.
        prompt (`str`): prompt of the image.
        seed (`int`): random seed of the noise.
        steps (`int` or `"auto"`): number of denoising steps.
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
    """An image as a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def from_png(content: str) -> np.ndarray:
    """The image in the result of [`to_png`]."""
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        return np.asarray(picture.convert("RGB"))
