"""A draft model with another tokenizer: which of its words are tokens of the target, and how it reads the others."""

import re
from typing import TYPE_CHECKING

from transformers.convert_slow_tokenizer import bytes_to_unicode

from ..native import _C


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# A special token by its content, any other token by its bytes.
Key = str | bytes
BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def translate(
    target: "PreTrainedTokenizerBase", draft: "PreTrainedTokenizerBase", draft_vocab_size: int
) -> _C.DraftVocabulary:
    """
    Gives the vocabulary of a draft model in terms of its target.

    A word of the draft model can be proposed if the target has a token of the same bytes (token-level intersection,
    arXiv 2502.05202). The draft model reads a token that it does not have as its own tokenizer divides the text of
    the token, so it may read a text in other pieces than it was trained on. That changes how good its drafts are, and
    no token of the output.

    Args:
        target (`PreTrainedTokenizerBase`): tokenizer of the target model.
        draft (`PreTrainedTokenizerBase`): tokenizer of the draft model.
        draft_vocab_size (`int`): number of logits of the draft model.

    Raises:
        `ValueError`: if one of them is not a fast tokenizer, or they have no token in common.
    """
    tokens, words = _keys(target), _keys(draft)
    word_of: dict[Key, int] = {}
    for word, key in sorted(words.items()):
        # Of several words for the same bytes, a whole word comes before a byte.
        if word < draft_vocab_size and (key not in word_of or _is_byte(draft, word_of[key])):
            word_of[key] = word
    token_of = {key: token for token, key in sorted(tokens.items(), reverse=True)}
    token_ids = [-1] * draft_vocab_size
    for key, word in word_of.items():
        token_ids[word] = token_of.get(key, -1)
    spellings: list[list[int]] = [[] for _ in range(max(tokens) + 1)]
    divided: dict[int, str] = {}
    for token, key in tokens.items():
        if key in word_of:
            spellings[token] = [word_of[key]]
        elif isinstance(key, bytes):
            try:
                divided[token] = key.decode()
            except UnicodeDecodeError:
                spellings[token] = [word_of[byte] for value in key if (byte := bytes([value])) in word_of]
    encodings = draft.backend_tokenizer.encode_batch(list(divided.values()), add_special_tokens=False)
    for token, encoding in zip(divided, encodings, strict=True):
        spellings[token] = [word for word in encoding.ids if word < draft_vocab_size]
    return _C.DraftVocabulary(token_ids, spellings)


def _keys(tokenizer: "PreTrainedTokenizerBase") -> dict[int, Key]:
    """The key of each token of a tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, which an assistant with another tokenizer needs"
        )
    added = tokenizer.get_added_vocab()
    # Byte-level tokenizers write each byte as a character of its own, the others write a space as "▁".
    byte_level = "ByteLevel" in repr(backend.decoder)
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    keys: dict[int, Key] = {}
    for piece, token in tokenizer.get_vocab().items():
        byte = BYTE_TOKEN.fullmatch(piece)
        if piece in added:
            keys[token] = piece
        elif byte_level and all(character in byte_of for character in piece):
            keys[token] = bytes(byte_of[character] for character in piece)
        elif byte is not None:
            keys[token] = bytes([int(byte[1], 16)])
        else:
            keys[token] = piece.replace("▁", " ").encode()
    return keys


def _is_byte(tokenizer: "PreTrainedTokenizerBase", word: int) -> bool:
    return BYTE_TOKEN.fullmatch(str(tokenizer.convert_ids_to_tokens(word))) is not None
