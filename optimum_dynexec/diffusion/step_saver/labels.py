"""How many steps a picture needs: a registry of rules."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from .similarity import ssim


# pictures by step count, counts, tau -> needed count
LabelRule = Callable[[np.ndarray, Sequence[int], float], int]


def similarity_rule(pictures: np.ndarray, steps: Sequence[int], tau: float) -> int:
    """
    The smallest count from which on every picture of the sweep is at least tau like the one with the most steps.

    Args:
        pictures (`np.ndarray` of shape `[counts, height, width, 3]`, uint8): same prompt, same noise.
        steps (`Sequence[int]`): step counts, ascending.
        tau (`float`): similarity ([`~step_saver.similarity.ssim`]).

    Returns:
        `int`: one of `steps`.
    """
    needed = steps[-1]
    for picture, count in zip(pictures[-2::-1], list(steps)[-2::-1], strict=True):
        if ssim(picture, pictures[-1]) < tau:
            break
        needed = count
    return needed


def first_drop_rule(pictures: np.ndarray, steps: Sequence[int], tau: float) -> int:
    """
    StepSaver's rule (arXiv 2408.02054, section 3.2): the similarity of pictures of successive counts grows while more
    steps still help; the count before its first drop of more than tau is enough.

    Args:
        pictures (`np.ndarray` of shape `[counts, height, width, 3]`, uint8): same prompt, same noise.
        steps (`Sequence[int]`): step counts, ascending.
        tau (`float`): drop of the similarity that does not count.

    Returns:
        `int`: one of `steps`.
    """
    similarities = [ssim(first, second) for first, second in pairwise(pictures)]
    for index in range(1, len(similarities)):
        if similarities[index] < similarities[index - 1] - tau:
            return steps[index]
    return steps[-1]


LABEL_RULES: dict[str, LabelRule] = {"similarity": similarity_rule, "first_drop": first_drop_rule}
