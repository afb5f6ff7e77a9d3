"""The data in parts, so that nothing is measured on what it was made with."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from .errors import OptimizeError


# Heads and quantization learn from the first; limits and choices are made on the second; the report is of the third.
SHARES = {"train": 0.6, "calibrate": 0.2, "test": 0.2}
LEAST = 10


def parts_of(count: int, limit: int | None, seed: int, least: int = LEAST) -> dict[str, list[int]]:
    """
    Indices of each part, drawn.

    Args:
        count (`int`): of inputs.
        limit (`int`, *optional*): to use at most.
        seed (`int`): of what is drawn.
        least (`int`, *optional*, defaults to 10): inputs that it takes, all parts together.

    Raises:
        [`OptimizeError`]: if there is too little for three parts.
    """
    order = list(range(count))
    random.Random(seed).shuffle(order)
    order = order[:limit]
    if len(order) < least:
        raise OptimizeError(f"the data is to be parted in three, which takes {least} inputs; there are {len(order)}")
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
