"""
Whether data was used to train a head, from a few hashes that are stored with the head.

Of the hashes of all training texts, the smallest are kept, which are a random sample of the texts (the bottom-k sketch
of Cohen and Kaplan, PODC 2007). Of other data, the texts whose hashes are as small can then be looked up.
"""

import hashlib
from collections.abc import Iterable


DIGITS, KEPT = 8, 256
# An estimate from fewer texts than this would take one duplicate for many.
LEAST = 4


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
    Estimates the share of texts that are in a training set; exact if the sketch has all texts of this set, and 0 if
    too few texts can be compared.

    Args:
        hashes (`Iterable[str]`): hashes of the texts.
        trained (`str`): [`sketch`] of the training set.
    """
    kept = {trained[start : start + DIGITS] for start in range(0, len(trained), DIGITS)}
    whole = len(kept) < KEPT
    largest = max(kept, default="")
    comparable = [value for value in hashes if whole or value <= largest]
    if len(comparable) < (1 if whole else LEAST):
        return 0.0
    return sum(value in kept for value in comparable) / len(comparable)
