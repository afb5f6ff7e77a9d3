"""The tokens that a head can predict: those that the model writes most often (FR-Spec, arXiv 2502.14856)."""

from collections import Counter

import numpy as np

from ...data.continuations import Text


def frequent_tokens(texts: list[Text], size: int, vocab_size: int) -> np.ndarray:
    """
    The most frequent tokens of the continuations.

    Args:
        texts (`list[Text]`): texts that the model wrote.
        size (`int`): number of tokens to choose; from `vocab_size` on, all tokens.
        vocab_size (`int`): size of the model's vocabulary.

    Returns:
        `np.ndarray` of shape `(words,)`, int64, ascending.
    """
    if size >= vocab_size:
        return np.arange(vocab_size, dtype=np.int64)
    counts = Counter(token for text in texts for token in text.tokens[text.first :])
    chosen = [token for token, _ in counts.most_common(size)]
    if len(chosen) < size:
        # Tokens of the prompts are better than none.
        counts = Counter(token for text in texts for token in text.tokens[: text.first])
        known = set(chosen)
        chosen += [token for token, _ in counts.most_common() if token not in known][: size - len(chosen)]
    return np.array(sorted(chosen), dtype=np.int64)


def coverage(texts: list[Text], token_ids: np.ndarray) -> float:
    """Share of the continuations' tokens that are among `token_ids`."""
    words = set(token_ids.tolist())
    tokens = [token for text in texts for token in text.tokens[text.first :]]
    return sum(token in words for token in tokens) / max(len(tokens), 1)
