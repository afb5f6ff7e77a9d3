"""Groups samples into the batches of the training steps."""

from collections.abc import Sequence

import numpy as np


# The number of batches whose samples are sorted by length together.
BUCKET = 50


def shuffled_batches(lengths: Sequence[int], batch_size: int, seed: Sequence[int]) -> list[list[int]]:
    """
    Batches of samples of similar length, in random order, so that there is little padding.

    Args:
        lengths (`Sequence[int]`): length of each sample.
        batch_size (`int`): number of samples in a batch; the last batch may have fewer.
        seed (`Sequence[int]`): random seed of the order.

    Returns:
        `list[list[int]]`: indices of samples; each index occurs once.
    """
    rng = np.random.default_rng(list(seed))
    order = rng.permutation(len(lengths))
    measured = np.asarray(lengths)
    batches = []
    for start in range(0, len(order), BUCKET * batch_size):
        bucket = order[start : start + BUCKET * batch_size]
        bucket = bucket[np.argsort(measured[bucket], kind="stable")]
        batches += [bucket[i : i + batch_size].tolist() for i in range(0, len(bucket), batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def sorted_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Batches of all samples, sorted by length."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    return [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]


def lengths_of(samples_inputs: Sequence[object]) -> list[int]:
    """The sort key: the number of characters of a text. All images have the same length."""
    return [len(value) if isinstance(value, str) else 0 for value in samples_inputs]


def hold_out(count: int, ratio: float, seed: int, labels: Sequence[str] | None = None) -> tuple[list[int], list[int]]:
    """
    Splits samples at random into training samples and held-out samples. Each part has at least one sample, and about
    the same shares of the labels.

    Args:
        count (`int`): number of samples.
        ratio (`float`): share of the samples that are held out.
        seed (`int`): random seed.
        labels (`Sequence[str]`, *optional*): label of each sample.

    Returns:
        `tuple`: indices of the training samples, and of the held-out samples.

    Raises:
        `ValueError`: if there are fewer than 2.
    """
    if count < 2:
        raise ValueError(f"training needs at least 2 samples, because one is held out, but the data has {count}")
    order = np.random.default_rng(seed).permutation(count).tolist()
    size = min(max(round(ratio * count), 1), count - 1)
    # Every n-th sample, sorted by label, so that each label has its share within one sample.
    by_label = order if labels is None else sorted(order, key=lambda index: labels[index])
    held_out = [by_label[int((place + 0.5) * count / size)] for place in range(size)]
    chosen = set(held_out)
    return [index for index in order if index not in chosen], held_out
