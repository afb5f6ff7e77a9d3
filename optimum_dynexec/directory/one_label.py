"""Which classifiers can leave early: those that choose one label of several."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from transformers import PretrainedConfig


# transformers' name of the problem that classifiers solve if nothing else is said.
CLASSES = "single_label_classification"


def check_one_label(config: "PretrainedConfig") -> None:
    """
    Checks that a model chooses one label of several, which is what exit heads of classifiers do.

    Args:
        config (`PretrainedConfig`): of the model.

    Raises:
        `ValueError`: if it does not.
    """
    labels = getattr(config, "num_labels", 2)
    problem = getattr(config, "problem_type", None)
    if labels == 1 or problem not in (None, CLASSES):
        raise ValueError(
            f"early exit is for one label of several, but this model is for {problem or 'regression'} with {labels}"
            f" label{'s' if labels > 1 else ''}"
        )
