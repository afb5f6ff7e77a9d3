"""What draft sources have learned, as a file. It has no text and no token."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ..native import _C
from ..utils.atomic import write_atomically
from ..utils.tensor_files import read_tensors


FORMAT = "speculation_memory 1"


def save_memory(memory: _C.SpeculationMemory, path: str | Path, model: str) -> None:
    """
    Writes how often drafts were accepted to a safetensors file, completely or not at all.

    Args:
        memory (`_C.SpeculationMemory`): memory of a model.
        path (`str` or `Path`): file to write.
        model (`str`): fingerprint of the model.
    """
    tensors = {name: np.ascontiguousarray(values) for name, values in memory.observations.items()}
    write_atomically(Path(path), save(tensors, metadata={"format": FORMAT, "model": model}))


def load_memory(memory: _C.SpeculationMemory, path: str | Path, model: str) -> None:
    """
    Adds what a file knows to a memory.

    Args:
        memory (`_C.SpeculationMemory`): memory of a model. Its observations are replaced by those in the file.
        path (`str` or `Path`): file that [`save_memory`] wrote.
        model (`str`): fingerprint of the model.

    Raises:
        `ValueError`: if the file is of another kind, or of another model.
    """
    tables, metadata = read_tensors(path, "a speculation memory", FORMAT)
    if metadata.get("model") != model:
        raise ValueError(f"{path} is the speculation memory of another model: leave it out, and save a new one")
    fresh = _C.SpeculationMemory()
    # All of it or nothing.
    for target in (fresh, memory):
        for name, values in tables.items():
            try:
                target.restore(name, values)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path} is not a speculation memory: {name}: {error}") from error
