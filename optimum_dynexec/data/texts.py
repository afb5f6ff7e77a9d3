"""Texts to train and calibrate on, from files or the Hub."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


COLUMNS = ("prompt", "question", "instruction", "text")
FILE_KINDS = (".jsonl", ".csv", ".txt")


def read_texts(source: str | Path, *, split: str = "train") -> list[str]:
    """
    Reads texts.

    Args:
        source (`str` or `Path`):
            A `.jsonl`, `.csv` or `.txt` file (one text a line), or the id of a data set on the Hub; `source:column`
            names the column to read, which is else the first of `prompt`, `question`, `instruction` and `text` there.
        split (`str`, *optional*, defaults to `"train"`): of a data set on the Hub.

    Returns:
        `list[str]`: the texts that are not empty, in order.

    Raises:
        `ValueError`: if there is no such file or column, or no text in it; the message says what there is.
    """
    name, _, column = str(source).partition(":")
    texts = [row_text(row, column, name) for row in read_rows(name, split=split)]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise ValueError(f"{name} holds no text")
    return texts


def read_rows(name: str | Path, *, split: str = "train") -> list[Any]:
    """
    Reads the rows of a data set.

    Args:
        name (`str` or `Path`): a `.jsonl`, `.csv` or `.txt` file, or the id of a data set on the Hub.
        split (`str`, *optional*, defaults to `"train"`): of a data set on the Hub.

    Returns:
        `list`: a dictionary or a text for each row, in order.

    Raises:
        `ValueError`: if there is no such file, or it is of another kind; the message says what can be read.
    """
    path = Path(name)
    if path.suffix in FILE_KINDS or path.exists():
        if not path.is_file():
            raise ValueError(f"The data file {name} does not exist")
        if path.suffix not in FILE_KINDS:
            raise ValueError(f"{name} is none of the files that can be read, {', '.join(FILE_KINDS)}")
        return _READERS[path.suffix](path)
    return _from_hub(str(name), split)


def chat_prompts(texts: list[str], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """
    Token ids of texts as a user's messages, if the tokenizer has a chat template, else of the texts themselves.
    """
    if tokenizer.chat_template is None:
        return [tokenizer(text)["input_ids"] for text in texts]
    messages = [[{"role": "user", "content": text}] for text in texts]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]


def _read_jsonl(path: Path) -> list[Any]:
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}, is not JSON: {error}") from error
    return rows


def _read_csv(path: Path) -> list[Any]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_txt(path: Path) -> list[Any]:
    return path.read_text(encoding="utf-8").splitlines()


_READERS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".txt": _read_txt}


def _from_hub(name: str, split: str) -> list[Any]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ValueError(
            f"{name} is no file, and reading it from the Hub needs `pip install optimum-dynexec[train]`"
        ) from error
    repository, _, configuration = name.partition("@")
    return list(load_dataset(repository, configuration or None, split=split))


def row_text(row: Any, column: str, source: str) -> str:
    """
    The text of a row.

    Args:
        row (`str` or `dict`): of [`read_rows`].
        column (`str`): to read; empty for the first of the usual ones.
        source (`str`): for messages.

    Raises:
        `ValueError`: if there is no such column.
    """
    if isinstance(row, str):
        return row
    if not isinstance(row, dict):
        raise ValueError(f"{source} holds {type(row).__name__} where a text or an object is expected")
    chosen = column or next((name for name in COLUMNS if name in row), None)
    if chosen is None or chosen not in row:
        raise ValueError(f"{source} has no column {column or ' or '.join(COLUMNS)!r}, only {sorted(row)}")
    return str(row[chosen] or "")
