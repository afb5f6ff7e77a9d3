"""A draft corpus: texts of the user's own from which suffix drafts come, as tokens in one file."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from tqdm import tqdm

from ..data.texts import read_texts
from ..directory.hashes import hash_content
from ..native import _C
from ..utils.atomic import write_atomically
from ..utils.numbers import whole_number
from ..utils.tensor_files import read_tensors
from .tokenizers import read_vocabulary


FORMAT = "draft_corpus 1"
# Files with one text a row. All other files are one text.
ROWS = (".jsonl", ".csv")
# The automaton of a corpus takes about 250 bytes for each token.
MAX_TOKENS = 1 << 20


@dataclass(frozen=True)
class DraftCorpus:
    """
    Tokenized texts.

    Args:
        tokens (`np.ndarray`): int32 `[tokens]`, the texts one after the other.
        lengths (`np.ndarray`): int32 `[texts]`, the number of tokens of each text, at least 1.
        vocabulary (`str`): hash of the vocabulary of the tokenizer.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    vocabulary: str

    def save(self, path: str | Path) -> None:
        """Writes it to a safetensors file, completely or not at all."""
        metadata = {"format": FORMAT, "vocabulary": self.vocabulary}
        write_atomically(Path(path), save({"tokens": self.tokens, "lengths": self.lengths}, metadata=metadata))

    @classmethod
    def load(cls, path: str | Path) -> "DraftCorpus":
        """
        Reads a file that [`save`] wrote.

        Raises:
            `ValueError`: if the file is not a draft corpus. The message says why.
        """
        tensors, metadata = read_tensors(path, "a draft corpus", FORMAT)
        missing = sorted({"tokens", "lengths"} - set(tensors))
        if missing:
            raise ValueError(f"{path} is not a draft corpus: it has no `{missing[0]}`")
        tokens, lengths = tensors["tokens"], tensors["lengths"]
        for name, values in (("tokens", tokens), ("lengths", lengths)):
            if values.dtype != np.int32 or values.ndim != 1:
                raise ValueError(f"{path} is not a draft corpus: `{name}` is not a list of 32-bit integers")
        if len(lengths) == 0 or (lengths < 1).any() or int(lengths.sum(dtype=np.int64)) != len(tokens):
            raise ValueError(f"{path} is not a draft corpus: `lengths` are not those of the texts in `tokens`")
        return cls(tokens, lengths, metadata.get("vocabulary", ""))

    @property
    def texts(self) -> list[np.ndarray]:
        """The tokens of each text."""
        return np.split(self.tokens, np.cumsum(self.lengths)[:-1])


def make_draft_corpus(
    directory: str | Path, sources: Sequence[str | Path], max_tokens: int = MAX_TOKENS
) -> tuple[DraftCorpus, int]:
    """
    Tokenizes texts for the model of a directory.

    Args:
        directory (`str` or `Path`): directory of the model, with its tokenizer.
        sources (`Sequence[str | Path]`):
            Files and folders. Each row of a `.jsonl` or `.csv` file is a text, see [`~data.read_texts`]. Every other
            file is one text, in UTF-8. Of a folder, all files in it are read.
        max_tokens (`int`, *optional*, defaults to 1,048,576):
            Maximum number of tokens. What comes after them is left out.

    Returns:
        `tuple`: the [`DraftCorpus`], and the number of texts that were left out, in whole or in part.

    Raises:
        `ValueError`: if a source cannot be read, there is no text, or `max_tokens` is not a number from 1.
    """
    max_tokens = whole_number("max_tokens", max_tokens, 1)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    texts: list[np.ndarray] = []
    room, left_out = max_tokens, 0
    for text in tqdm(_texts_of(sources), "Texts", unit="text"):
        # A draft continues a text in its middle: without special tokens.
        tokens = np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"], np.int32)
        left_out += len(tokens) > room
        tokens = tokens[:room]
        room -= len(tokens)
        if len(tokens):
            texts.append(tokens)
    if not texts:
        raise ValueError(f"there is no text in {', '.join(map(str, sources))}")
    lengths = np.array([len(text) for text in texts], np.int32)
    return DraftCorpus(np.concatenate(texts), lengths, _vocabulary_hash(Path(directory))), left_out


def add_draft_corpus(memory: _C.SpeculationMemory, path: str | Path, directory: str | Path, vocab_size: int) -> None:
    """
    Adds a draft corpus to what the draft sources of a model know.

    Args:
        memory (`_C.SpeculationMemory`): memory of the model.
        path (`str` or `Path`): file of the draft corpus.
        directory (`str` or `Path`): directory of the model, with its tokenizer.
        vocab_size (`int`): number of tokens in the vocabulary of the model.

    Raises:
        `ValueError`: if the file is not a draft corpus, or was made with another tokenizer.
    """
    corpus = DraftCorpus.load(path)
    if corpus.vocabulary != _vocabulary_hash(Path(directory)):
        raise ValueError(
            f"{path} was made with another tokenizer than that of {directory}: make it again with `optimum-cli dynexec"
            f" draft-corpus {directory}`"
        )
    if corpus.tokens.min() < 0 or corpus.tokens.max() >= vocab_size:
        raise ValueError(f"{path} is not a draft corpus of this model: its tokens must be from 0 to {vocab_size - 1}")
    for text in corpus.texts:
        memory.add_to_corpus(text.tolist())


def _texts_of(sources: Sequence[str | Path]) -> Iterable[str]:
    for source in sources:
        path = Path(source)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
            yield from (text for file in files if (text := _text_of(file, strict=False)) is not None)
        elif path.suffix in ROWS or not path.exists():
            yield from read_texts(source)
        else:
            yield str(_text_of(path, strict=True))


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _text_of(file: Path, strict: bool) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        # A folder may contain pictures.
        if not strict:
            return None
        raise ValueError(
            f"{file} is not encoded in UTF-8 (byte at position {error.start}): save it in UTF-8"
        ) from error


def _vocabulary_hash(directory: Path) -> str:
    vocabulary = read_vocabulary(directory)
    if vocabulary is None:
        raise ValueError(f"{directory} has no tokenizer.json, by which a draft corpus is recognized")
    return hash_content(json.dumps(sorted(vocabulary.items())).encode())
