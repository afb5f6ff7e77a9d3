"""Copies of an export with other weights: cheaper than exporting another model."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from optimum_dynexec.directory.config import DynExecConfig
from optimum_dynexec.directory.hashes import fingerprint_model, hash_model


def patch_weights(source: Path, output: Path, old: np.ndarray, new: np.ndarray) -> Path:
    """Copies the export at `source` (fp32) to `output`, where the weights `old` are replaced by `new`."""
    shutil.copytree(source, output)
    path = output / "openvino_model.bin"
    content = path.read_bytes()
    old_bytes, new_bytes = np.ascontiguousarray(old, np.float32).tobytes(), np.ascontiguousarray(new, np.float32)
    assert content.count(old_bytes) == 1
    assert len(old_bytes) == new_bytes.nbytes
    path.write_bytes(content.replace(old_bytes, new_bytes.tobytes()))
    # Otherwise the configuration is that of another model, which is not loaded.
    hashes = {"model_hash": hash_model(output), "model_fingerprint": fingerprint_model(output)}
    replace(DynExecConfig.from_pretrained(output), **hashes).save_pretrained(output)
    return output
