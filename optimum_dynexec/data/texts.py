"""Texts for training and calibration, from files or the Hub."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.installing import install_hint


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


COLUMNS = ("prompt", "question", "instruction", "text")
FILE_KINDS = (".jsonl", ".csv", ".txt")
# UTF-8, with or without the byte order mark that spreadsheets write.
ENCODING = "utf-8-sig"
# The longest name that a message repeats.
SHOWN = 200


def read_texts(source: str | Path, *, split: str = "train") -> list[str]:
    """
    Reads texts.

    Args:
        source (`str` or `Path`):
            A `.jsonl`, `.csv` or `.txt` file (one text a line), or the id of a data set on the Hub; `source:column`
            names the column to read. The default is the first column among `prompt`, `question`, `instruction`,
            `text`.
        split (`str`, *optional*, defaults to `"train"`): split of a data set on the Hub.

    Returns:
        `list[str]`: the texts that are not empty, in order.

    Raises:
        `ValueError`: if the file or column does not exist or contains no text. The message says what exists.
    """
    name, column = split_source(source)
    texts = [row_text(row, column, name) for row in read_rows(name, split=split)]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise ValueError(f"{name} contains no text")
    return texts


def split_source(source: str | Path) -> tuple[str, str]:
    """
    The file or data set and the column of `source:column`; the column is empty if there is none. Names of files may
    contain colons too.
    """
    whole = str(source)
    before, _, after = whole.rpartition(":")
    if os.path.isfile(whole):
        return whole, ""
    if os.path.isfile(before):
        return before, after
    name, _, column = whole.partition(":")
    return name, column


def read_rows(name: str | Path, *, split: str = "train") -> list[Any]:
    """
    Reads the rows of a data set.

    Args:
        name (`str` or `Path`): a `.jsonl`, `.csv` or `.txt` file, or the id of a data set on the Hub.
        split (`str`, *optional*, defaults to `"train"`): split of a data set on the Hub.

    Returns:
        `list`: a dictionary or a text for each row, in order.

    Raises:
        `ValueError`: if the file does not exist or is of another kind. The message says what can be read.
    """
    path = Path(name)
    # Unlike the methods of pathlib, these functions also answer for names that are too long for a file.
    if path.suffix in FILE_KINDS or os.path.exists(path):
        if not os.path.isfile(path):
            raise ValueError(f"The data file {name} does not exist")
        if path.suffix not in FILE_KINDS:
            raise ValueError(f"{name} cannot be read; accepted kinds of files are {', '.join(FILE_KINDS)}")
        try:
            return _READERS[path.suffix](path)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name} is not encoded in UTF-8 (byte {error.object[error.start]:#04x} at position {error.start} of"
                " what was read): save it in UTF-8, for example with `iconv -f latin1 -t utf-8`"
            ) from error
        except csv.Error as error:
            raise ValueError(f"{name} is not a valid .csv file: {error}") from error
    return _from_hub(str(name), split)


def chat_prompts(texts: list[str], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """
    Tokenizes texts: as messages of a user if the tokenizer has a chat template, and as they are otherwise.
    """
    if tokenizer.chat_template is None:
        return [tokenizer(text)["input_ids"] for text in texts]
    messages = [[{"role": "user", "content": text}] for text in texts]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]


def _read_jsonl(path: Path) -> list[Any]:
    rows = []
    with open(path, encoding=ENCODING) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}, is not valid JSON: {error}") from error
    return rows


def _read_csv(path: Path) -> list[Any]:
    with open(path, encoding=ENCODING, newline="") as file:
        return list(csv.DictReader(file))


def _read_txt(path: Path) -> list[Any]:
    return path.read_text(encoding=ENCODING).splitlines()


_READERS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".txt": _read_txt}


def _from_hub(name: str, split: str) -> list[Any]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ValueError(
            f"{_shown(name)} is not a file, and reading it from the Hub needs datasets: {install_hint('train')}"
        ) from error
    repository, _, configuration = name.partition("@")
    try:
        return list(load_dataset(repository, configuration or None, split=split))
    except Exception as error:
        # Catches whatever the network, the Hub or a reader of files raises.
        raise ValueError(
            f"{_shown(name)} is neither a file nor a data set that can be read from the Hub"
            f" ({type(error).__name__}: {_shown(str(error))})"
        ) from error


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def row_text(row: object, column: str, source: str) -> str:
    """
    The text of a row.

    Args:
        row (`str` or `dict`): a row from [`read_rows`].
        column (`str`): the column to read; if empty, the first usual column.
        source (`str`): name of the file or data set, for messages.

    Raises:
        `ValueError`: if the row does not have the column.
    """
    if isinstance(row, str):
        return row
    if not isinstance(row, dict):
        raise ValueError(f"{source} contains {type(row).__name__} where a text or an object is expected")
    chosen = column or next((name for name in COLUMNS if name in row), None)
    if chosen is None or chosen not in row:
        raise missing_column(source, row, column or None, COLUMNS, f"{source}:COLUMN")
    return str(row[chosen] or "")


def missing_column(source: str, row: dict[Any, Any], column: str | None, usual: Sequence[str], how: str) -> ValueError:
    """
    The error for a column that the rows of a source do not have.

    Args:
        source (`str`): the name of the file or the data set.
        row (`dict`): a row of the source.
        column (`str`, *optional*): the column that was asked for; `None` if the usual columns were looked for.
        usual (`Sequence[str]`): the columns that are looked for by default.
        how (`str`): option with which the user names a column.
    """
    there = [str(name) for name in row if name is not None]
    wanted = f"the column {column!r}" if column else f"any of the columns {', '.join(map(repr, usual))}"
    return ValueError(f"{source} does not have {wanted}; its columns are {there}: name one of them with {how}")
