"""Rules that determine how many steps an image needs, in a registry."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from .similarity import ssim


# images by step count, step counts, tau -> needed step count
LabelRule = Callable[[np.ndarray, Sequence[int], float], int]


def similarity_rule(pictures: np.ndarray, steps: Sequence[int], tau: float) -> int:
    """
    The smallest count from which each image of the sweep has a similarity of at least tau to the one with the most
    steps.

    Args:
        pictures (`np.ndarray` of shape `[counts, height, width, 3]`, uint8): images from the same prompt and noise.
        steps (`Sequence[int]`): step counts, ascending.
        tau (`float`): required similarity ([`~step_saver.similarity.ssim`]).

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
    StepSaver's rule (arXiv 2408.02054, section 3.2): the similarity of images with successive counts grows while more
    steps still help; the count before its first drop of more than tau is enough.

    Args:
        pictures (`np.ndarray` of shape `[counts, height, width, 3]`, uint8): images from the same prompt and noise.
        steps (`Sequence[int]`): step counts, ascending.
        tau (`float`): drop of the similarity that is ignored.

    Returns:
        `int`: one of `steps`.
    """
    similarities = [ssim(first, second) for first, second in pairwise(pictures)]
    for index in range(1, len(similarities)):
        if similarities[index] < similarities[index - 1] - tau:
            return steps[index]
    return steps[-1]


LABEL_RULES: dict[str, LabelRule] = {"similarity": similarity_rule, "first_drop": first_drop_rule}
