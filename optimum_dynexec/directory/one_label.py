"""The classifiers that can leave early: those that choose one label of several."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from transformers import PretrainedConfig


# transformers' name of the problem that a classifier solves if `problem_type` is not set.
CLASSES = "single_label_classification"


def check_one_label(config: "PretrainedConfig") -> None:
    """
    Checks that a model chooses one label of several, as exit heads of classifiers do.

    Args:
        config (`PretrainedConfig`): configuration of the model.

    Raises:
        `ValueError`: if the model does something else.
    """
    labels = getattr(config, "num_labels", 2)
    problem = getattr(config, "problem_type", None)
    if labels == 1 or problem not in (None, CLASSES):
        raise ValueError(
            f"early exit is for one label of several, but this model is for {problem or 'regression'} with {labels}"
            f" label{'s' if labels > 1 else ''}"
        )
