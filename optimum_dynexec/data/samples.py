"""Samples for training, calibrating and measuring classifiers: texts, images or audio, with or without labels."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .overlap import content_hash
from .texts import missing_column, read_rows


TEXT_COLUMNS = ("text", "sentence", "sentence1", "question", "premise", "query")
LABEL_COLUMNS = ("label", "labels", "category", "intent", "class")
IMAGE_COLUMNS = ("image", "img")
ARRAYS = ("images", "audio")
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass(frozen=True)
class Columns:
    """
    The columns of a row. If a column is not set, the first usual name that exists is used.

    Args:
        text (`str`, *optional*): column of the text, or of the image in an `.npz` file or a data set of images.
        text_pair (`str`, *optional*): column of the second text, if the inputs are pairs.
        label (`str`, *optional*): column of the label.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Samples:
    """
    Samples for a classifier.

    Args:
        inputs (`Sequence`):
            Texts; images (`Path`s, PIL images or uint8 arrays `[height, width]` or `[height, width, 3]`); or audio
            (float arrays `[length]`).
        pairs (`Sequence[str]`, *optional*): the second text of each sample.
        labels (`Sequence[str]`, *optional*): the name of the correct label of each sample.

    Raises:
        `ValueError`: if the lists differ in length.
    """

    inputs: Sequence[Any]
    pairs: Sequence[str] | None = None
    labels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name in ("pairs", "labels"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.inputs):
                raise ValueError(f"there are {len(self.inputs)} inputs, but {len(values)} {name}")

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, indices: Sequence[int]) -> "Samples":
        """Some of the samples, in the given order."""

        def some(values: Any) -> Any:
            return None if values is None else [values[index] for index in indices]

        return Samples(some(self.inputs), some(self.pairs), some(self.labels))

    @property
    def label_names(self) -> list[str]:
        """The labels that occur, sorted: whole numbers by value, others by name."""
        names = set(self.labels or [])
        numbers = all(name.lstrip("-").isdigit() for name in names)
        return sorted(names, key=int) if numbers else sorted(names)

    def label_ids(self, label2id: dict[str, int]) -> np.ndarray | None:
        """
        The labels as the model's numbers.

        Args:
            label2id (`dict[str, int]`): numbers of the model's labels. Labels may also be these numbers themselves.

        Returns:
            `np.ndarray` int64 `[samples]`; `None` if there are no labels.

        Raises:
            `ValueError`: if the model does not have one of the labels. The message names it.
        """
        if self.labels is None:
            return None
        numbers = {str(index): index for index in label2id.values()}
        known = {**numbers, **label2id}
        unknown = sorted(set(self.labels) - set(known))
        if unknown:
            raise ValueError(
                f"the data has the label {unknown[0]!r}, but the labels of the model are {list(label2id)[:20]}"
            )
        return np.array([known[label] for label in self.labels], np.int64)

    @property
    def data_hash(self) -> str:
        """16 hexadecimal digits: a hash of all samples. For an image file it covers the content, not the location."""
        digest = hashlib.sha256()
        for values in (self.inputs, self.pairs or [], self.labels or []):
            digest.update(str(len(values)).encode())
            for value in values:
                content = _content(value)
                digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()[:16]

    @property
    def hashes(self) -> list[str]:
        """A hash of each input, without its label, from [`~data.overlap.content_hash`]."""
        columns = [self.inputs] if self.pairs is None else [self.inputs, self.pairs]
        return [content_hash(*map(_content, row)) for row in zip(*columns, strict=True)]


def read_samples(sources: Sequence[str | Path], columns: Columns | None = None, *, split: str = "train") -> Samples:
    """
    Reads samples for a classifier.

    Args:
        sources (`Sequence[str or Path]`):
            `.csv`, `.jsonl` or `.txt` files of texts; directories with one folder of images for each label; `.npz`
            files with an array `images` uint8 `[samples, height, width]` or `[samples, height, width, 3]`, or `audio`
            float `[samples, length]` at the sampling rate of the model, and `labels`; or ids of data sets on the Hub.
        columns ([`Columns`], *optional*): the columns of a row.
        split (`str`, *optional*, defaults to `"train"`): split of a data set on the Hub.

    Raises:
        `ValueError`: if a file or column does not exist or is empty. The message says what exists.
    """
    columns = columns or Columns()
    parts = [_read(str(source), columns, split) for source in sources]
    for name in ("pairs", "labels"):
        if len({getattr(part, name) is None for part in parts}) > 1:
            raise ValueError(f"some of {[str(source) for source in sources]} have {name} and others do not")
    first = parts[0]
    return Samples(
        [value for part in parts for value in part.inputs],
        None if first.pairs is None else [value for part in parts for value in part.pairs or []],
        None if first.labels is None else [value for part in parts for value in part.labels or []],
    )


def most_frequent_share(labels: Sequence[str] | None) -> float | None:
    """The share of the most frequent label, which is the accuracy of always answering it; `None` without labels."""
    return max(Counter(labels).values()) / len(labels) if labels else None


def draw(samples: Samples, limit: int | None, seed: int) -> Samples:
    """At most `limit` samples, drawn without replacement. Without a limit: all samples, in their order."""
    if limit is None or limit >= len(samples):
        return samples
    return samples.select(np.random.default_rng(seed).permutation(len(samples))[:limit].tolist())


def _read(source: str, columns: Columns, split: str) -> Samples:
    reader = _READERS.get("directory" if os.path.isdir(source) else Path(source).suffix, _from_rows)
    samples = reader(source, columns, split)
    if not len(samples):
        raise ValueError(f"{source} contains no samples")
    return samples


def _from_rows(source: str, columns: Columns, split: str) -> Samples:
    rows = read_rows(source, split=split)
    if rows and all(isinstance(row, str) for row in rows):
        return Samples([row for row in rows if row.strip()])
    if not rows or not isinstance(rows[0], dict):
        raise ValueError(f"{source} contains no rows with columns")
    text = _column(rows, columns.text, (*TEXT_COLUMNS, *IMAGE_COLUMNS), source, "text")
    inputs = _values(rows, text, source, "text")
    if text in IMAGE_COLUMNS:
        inputs = [Path(value) if isinstance(value, str) else value for value in inputs]
    pairs = labels = None
    if columns.text_pair is not None:
        pairs = _values(rows, _column(rows, columns.text_pair, (), source, "text_pair"), source, "text_pair")
    if columns.label is not None or any(name in rows[0] for name in LABEL_COLUMNS):
        labels = _values(rows, _column(rows, columns.label, LABEL_COLUMNS, source, "label"), source, "label")
    return Samples(
        inputs,
        None if pairs is None else [str(value) for value in pairs],
        None if labels is None else [str(value) for value in labels],
    )


def _from_folders(source: str, columns: Columns, split: str) -> Samples:
    files = sorted(file for file in Path(source).glob("*/*") if file.suffix.lower() in IMAGE_FILES)
    return Samples(files, None, [file.parent.name for file in files])


def _from_arrays(source: str, columns: Columns, split: str) -> Samples:
    # Arrays of objects would need pickle, so they are refused.
    with np.load(source, allow_pickle=False) as file:
        name, label = columns.text or next((name for name in ARRAYS if name in file), ""), columns.label or "labels"
        if name not in file:
            raise _missing(source, dict.fromkeys(sorted(file)), columns.text, ARRAYS, "text")
        found = file[name]
        labels = file[label].tolist() if label in file else None
    sounds = found.ndim == 2 and np.issubdtype(found.dtype, np.floating)
    if not sounds and (found.dtype != np.uint8 or found.ndim not in (3, 4)):
        raise ValueError(
            f"{name!r} in {source} must be images, uint8 [samples, height, width] or [samples, height, width, 3], or"
            f" audio, float [samples, length], but it is {found.dtype} {list(found.shape)}"
        )
    return Samples(list(found), None, None if labels is None else [str(value) for value in labels])


_READERS: dict[str, Callable[[str, Columns, str], Samples]] = {"directory": _from_folders, ".npz": _from_arrays}


def _column(rows: list[Any], name: str | None, usual: Sequence[str], source: str, field: str) -> str:
    """The column that was named, or else the first usual column that the first row has."""
    found = name or next((column for column in usual if column in rows[0]), None)
    if found is None or found not in rows[0]:
        raise _missing(source, rows[0], name, usual, field)
    return found


def _values(rows: list[Any], column: str, source: str, field: str) -> list[Any]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{source}, row {number}: expected an object with columns, got {type(row).__name__}")
        if column not in row:
            raise _missing(f"{source}, row {number},", row, column, (), field)
        # The csv reader gives None for a cell that its line is too short for.
        if row[column] is None:
            raise ValueError(f"{source}, row {number}, has no value in the column {column!r}")
    return [row[column] for row in rows]


def _missing(source: str, row: dict[Any, Any], name: str | None, usual: Sequence[str], field: str) -> ValueError:
    how = f"--{field.replace('_', '-')}-column (`Columns({field}=...)`)"
    return missing_column(source, row, name, usual, how)


def _content(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Path):
        return value.read_bytes()
    array = np.asarray(value)
    return f"{array.dtype} {array.shape}".encode() + array.tobytes()
