"""Whether two models read the same tokens."""

import json
from functools import lru_cache
from pathlib import Path


def check_same_tokenizer(target: Path, draft: Path, target_vocab_size: int, draft_vocab_size: int) -> None:
    """
    Checks that a draft model writes the tokens that the target model reads.

    The vocabularies of the two `tokenizer.json` are compared token by token. Where one of the directories has none,
    the sizes of the models' vocabularies must be equal.

    Raises:
        `ValueError`: if they differ, the message says in what; or if a `tokenizer.json` cannot be read.
    """
    ours, theirs = read_vocabulary(target), read_vocabulary(draft)
    if ours is None or theirs is None:
        if target_vocab_size != draft_vocab_size:
            raise ValueError(
                f"`assistant_model` has a vocabulary of {draft_vocab_size} tokens, the model one of"
                f" {target_vocab_size}. An assistant must have the same tokenizer as the model."
            )
        return
    different = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    if different:
        raise ValueError(
            f"`assistant_model` has another tokenizer than the model: {len(different)} tokens differ, for example"
            f" {different[0]!r} (model: {ours.get(different[0])}, assistant: {theirs.get(different[0])})."
            " An assistant must have the same tokenizer as the model."
        )


def read_vocabulary(directory: Path) -> dict[str, int] | None:
    """
    The ids of the tokens in the `tokenizer.json` of a directory; `None` if it has none.

    Raises:
        `ValueError`: if the file cannot be read.
    """
    content = _content(directory)
    return None if content is None else {**content[0], **content[1]}


def read_added_tokens(directory: Path) -> list[int]:
    """
    The ids of the tokens that were added to the vocabulary of a directory, such as those that end a turn.

    Raises:
        `ValueError`: if its `tokenizer.json` cannot be read.
    """
    content = _content(directory)
    return [] if content is None else sorted(content[1].values())


def _content(directory: Path) -> tuple[dict[str, int], dict[str, int]] | None:
    path = directory / "tokenizer.json"
    return _read_vocabulary(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=8)
def _read_vocabulary(path: Path, _modified: int) -> tuple[dict[str, int], dict[str, int]]:
    """The vocabulary, and the tokens that were added to it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = content["model"]["vocab"]
        # Unigram models list [token, score] pairs; the others map tokens to ids.
        if isinstance(vocabulary, list):
            vocabulary = {token: index for index, (token, _score) in enumerate(vocabulary)}
        added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
        return dict(vocabulary), added
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is not a tokenizer that can be compared: {error!r}") from error
