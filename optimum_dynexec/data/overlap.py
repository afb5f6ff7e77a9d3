"""
Whether data was used to train a head, from a few hashes that are stored with the head.

Of the hashes of all training texts, the smallest are kept, which are a random sample of the texts (the bottom-k sketch
of Cohen and Kaplan, PODC 2007). Of other data, the texts whose hashes are as small can then be looked up.
"""

import hashlib
from collections.abc import Iterable


DIGITS, KEPT = 8, 256


def content_hash(*parts: bytes) -> str:
    """8 hexadecimal digits: a hash of a text, or of several parts of a sample."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:DIGITS]


def sketch(hashes: Iterable[str]) -> str:
    """
    The 256 smallest distinct hashes, or all if there are fewer, as one text.

    Args:
        hashes (`Iterable[str]`): hashes from [`content_hash`].
    """
    return "".join(sorted(set(hashes))[:KEPT])


def seen_share(hashes: Iterable[str], trained: str) -> float:
    """
    Estimates the share of texts that are in a training set; exact if the sketch has all texts of this set.

    Args:
        hashes (`Iterable[str]`): hashes of the texts.
        trained (`str`): [`sketch`] of the training set.
    """
    kept = {trained[start : start + DIGITS] for start in range(0, len(trained), DIGITS)}
    largest = max(kept) if len(kept) == KEPT else "g"  # after all hexadecimal digits
    comparable = [value for value in hashes if value <= largest]
    return sum(value in kept for value in comparable) / len(comparable) if comparable else 0.0
