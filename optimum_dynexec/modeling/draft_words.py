"""Which part of a vocabulary a draft model keeps (FR-Spec, arXiv 2502.14856)."""

from pathlib import Path

import numpy as np

from .draft_corpus import DraftCorpus
from .tokenizers import read_added_tokens


def frequent_tokens(
    directory: str | Path, vocab_size: int, size: int, draft_corpus: str | Path | None = None
) -> list[int]:
    """
    Gives the tokens that a model most likely writes: the added tokens of its tokenizer, which begin and end turns;
    then, with a draft corpus, the tokens in it, the most frequent first; then those with the smallest ids. A tokenizer
    that merges pairs (BPE) numbers them in the order of their frequency in the text that it was trained on.

    Args:
        directory (`str` or `Path`): directory of the model, with its tokenizer.
        vocab_size (`int`): number of logits of the model.
        size (`int`): number of tokens to give, at most `vocab_size`.
        draft_corpus (`str` or `Path`, *optional*): file of a draft corpus.

    Returns:
        `list[int]`: different token ids, in ascending order.
    """
    counts = np.zeros(vocab_size, np.int64)
    if draft_corpus is not None:
        tokens = DraftCorpus.load(draft_corpus).tokens
        counts += np.bincount(tokens[tokens < vocab_size], minlength=vocab_size)
    added = [token for token in read_added_tokens(Path(directory)) if token < vocab_size]
    counts[added] = np.iinfo(np.int64).max
    # A stable sort keeps the order of ids among equal counts.
    return np.sort(np.argsort(-counts, kind="stable")[:size]).tolist()
