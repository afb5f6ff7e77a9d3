"""Splits the data, so that nothing is measured on its own training data."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from .errors import OptimizeError


# Heads and quantization use the first part, limits and choices the second part, and the report the third part.
SHARES = {"train": 0.6, "calibrate": 0.2, "test": 0.2}
LEAST = 10


def parts_of(count: int, limit: int | None, seed: int, least: int = LEAST) -> dict[str, list[int]]:
    """
    The indices of each part, drawn at random.

    Args:
        count (`int`): number of inputs.
        limit (`int`, *optional*): maximum number of inputs.
        seed (`int`): random seed.
        least (`int`, *optional*, defaults to 10): smallest number of inputs in all parts together.

    Raises:
        [`OptimizeError`]: if there are too few inputs for three parts.
    """
    order = list(range(count))
    random.Random(seed).shuffle(order)
    order = order[:limit]
    if len(order) < least:
        raise OptimizeError(
            f"the data is split into three parts, which needs at least {least} inputs, but there are {len(order)}"
        )
    ends = [round(len(order) * share) for share in (SHARES["train"], SHARES["train"] + SHARES["calibrate"])]
    return {"train": order[: ends[0]], "calibrate": order[ends[0] : ends[1]], "test": order[ends[1] :]}


def write_texts(directory: Path, rows: list[dict[str, Any]], parts: dict[str, list[int]]) -> dict[str, str]:
    """
    Writes rows of texts, a `.jsonl` file for each part.

    Returns:
        `dict[str, str]`: file names by part.
    """
    names = {}
    for part, indices in parts.items():
        names[part] = f"{part}.jsonl"
        text = "".join(json.dumps(rows[index], ensure_ascii=False) + "\n" for index in indices)
        (directory / names[part]).write_text(text, encoding="utf-8")
    return names


def write_images(
    directory: Path, images: list[np.ndarray], labels: list[str] | None, parts: dict[str, list[int]]
) -> dict[str, str]:
    """
    Writes images of one size, an `.npz` file for each part.

    Returns:
        `dict[str, str]`: file names by part.
    """
    names = {}
    for part, indices in parts.items():
        names[part] = f"{part}.npz"
        arrays: dict[str, Any] = {"images": np.stack([images[index] for index in indices])}
        if labels is not None:
            arrays["labels"] = np.array([labels[index] for index in indices])
        np.savez(directory / names[part], **arrays)
    return names
