"""How the tiny pipelines are called."""

from typing import Any

import numpy as np
import torch


PROMPTS = ["a red rose", "two cats", "rain", "the sea at night", "a", "old stone bridge", "tea"]
OPTIONS: dict[str, dict[str, Any]] = {
    "flux": {"height": 16, "width": 16, "max_sequence_length": 16},
    "stable-diffusion-3": {"max_sequence_length": 16},
    "sana": {
        "height": 32,
        "width": 32,
        "max_sequence_length": 16,
        "use_resolution_binning": False,
        "complex_human_instruction": None,
    },
}


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + index) for index in range(count)]


def call(pipeline: Any, name: str, count: int = 1, steps: int = 4, **options: Any) -> Any:
    """Calls a pipeline for the first prompts, each with noise of its own. Pictures come as an array by default."""
    values = {
        "prompt": PROMPTS[:count],
        "num_inference_steps": steps,
        "generator": generators(count),
        "output_type": "np",
        **OPTIONS.get(name, {}),
        **options,
    }
    return pipeline(**values)


def assert_equal_pictures(actual: Any, expected: Any, tolerance: float = 1e-3) -> None:
    """Equal to what the issue asks for, and no trivial pictures."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.isfinite(expected).all()
    assert expected.std() > 1e-3
    assert np.abs(actual - expected).max() <= tolerance
