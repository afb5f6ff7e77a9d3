"""Images of prompts at several step counts, each generated once."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.numpy import load_file, save
from tqdm.auto import tqdm

from ...utils.atomic import write_atomically


if TYPE_CHECKING:
    from optimum.intel import OVDiffusionPipeline


def sweep(
    pipeline: "OVDiffusionPipeline",
    prompts: Sequence[str],
    steps: Sequence[int],
    cache: Path,
    key: dict[str, Any],
    seed: int = 0,
    batch_size: int = 8,
    **call: Any,
) -> np.ndarray:
    """
    Generates the images of each prompt at each count, from the same noise at all counts. Images that an earlier call
    with the same settings generated are read from the cache, so an interrupted sweep continues where it stopped.

    Prompts go through the pipeline in batches, where they share forward passes of the network. This does not change
    their noise, because each prompt has its own generator.

    Args:
        pipeline (`OVDiffusionPipeline`): pipeline that generates the images.
        prompts (`Sequence[str]`): n prompts.
        steps (`Sequence[int]`): step counts.
        cache (`Path`): directory with a file for each prompt, created if it does not exist.
        key (`dict[str, Any]`): JSON values that also determine an image, above all the weights.
        seed (`int`, *optional*, defaults to 0): random seed; a prompt's noise depends on it and on the prompt.
        batch_size (`int`, *optional*, defaults to 8): number of prompts at once.
        call (`Any`): further arguments of the pipeline.

    Returns:
        `np.ndarray` of shape `[n, counts, height, width, 3]`, uint8.
    """
    cache.mkdir(parents=True, exist_ok=True)
    settings = json.dumps({"steps": list(steps), "seed": seed, "call": call, **key}, sort_keys=True)
    paths = [cache / f"{hashlib.sha256((settings + prompt).encode()).hexdigest()}.safetensors" for prompt in prompts]
    missing = [index for index, path in enumerate(paths) if not path.is_file()]
    with tqdm(total=len(prompts), initial=len(prompts) - len(missing), desc="Sweep", unit="prompt") as progress:
        for begin in range(0, len(missing), batch_size):
            part = missing[begin : begin + batch_size]
            pictures = [_pictures(pipeline, [prompts[i] for i in part], count, seed, call) for count in steps]
            for position, index in enumerate(part):
                own = np.stack([made[position] for made in pictures])
                write_atomically(paths[index], save({"pictures": own}, {"prompt": prompts[index]}))
            progress.update(len(part))
    return np.stack([load_file(path)["pictures"] for path in paths])


def prompt_seed(prompt: str, seed: int) -> int:
    """The seed of a prompt's noise: 32 bits of a hash of both."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{prompt}".encode()).digest()[:4], "big")


def _pictures(
    pipeline: "OVDiffusionPipeline", prompts: list[str], count: int, seed: int, call: dict[str, Any]
) -> np.ndarray:
    generators = [torch.Generator().manual_seed(prompt_seed(prompt, seed)) for prompt in prompts]
    images = pipeline(prompt=prompts, num_inference_steps=count, generator=generators, output_type="np", **call).images
    return np.round(np.asarray(images) * 255).astype(np.uint8)
