"""What can be said of a model and its data before anything is exported, run or trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.samples import Samples
from ...directory.config import MODEL_CLASSES
from ...directory.encoder_fit import KIND_OF_TASK
from ...directory.one_label import check_one_label


if TYPE_CHECKING:
    from transformers import PretrainedConfig


def check_classifier(config: "PretrainedConfig", task: str, *parts: Samples) -> None:
    """
    Checks that a classifier is of a kind that exit heads are for, and knows the labels of the data. For other tasks
    there is nothing to check.

    Args:
        config (`PretrainedConfig`): of the model.
        task (`str`): of the model.
        parts ([`~data.samples.Samples`]): the data.

    Raises:
        `ValueError`: if it is for several labels or a number, or the data has a label that it does not know.
    """
    if KIND_OF_TASK.get(task) != "pooled":
        return
    check_one_label(config)
    for samples in parts:
        samples.label_ids(config.label2id)


def untrained_weights(model: str | Path, task: str) -> list[str]:
    """
    Names the weights after the encoder that a checkpoint lacks, which are drawn at random when it is loaded for a
    task.

    Args:
        model (`str` or `Path`): directory or id on the Hub of a transformers model.
        task (`str`): one of [`~directory.config.ENCODER_TASKS`].

    Returns:
        `list[str]`: names of the weights; none if the model was trained for the task.
    """
    import transformers

    if task == "feature-extraction":
        return []
    loader = getattr(transformers, f"Auto{MODEL_CLASSES[task]}")
    loaded, found = loader.from_pretrained(model, output_loading_info=True)
    return sorted(
        name for name in new_weights(found) if not name.startswith(f"{loaded.base_model_prefix or '(none)'}.")
    )


def new_weights(loading_info: dict[str, Any]) -> set[str]:
    """
    The weights that transformers has drawn at random.

    Args:
        loading_info (`dict`): what `from_pretrained(..., output_loading_info=True)` gives.
    """
    mismatched = (key if isinstance(key, str) else key[0] for key in loading_info.get("mismatched_keys", ()))
    return {*loading_info["missing_keys"], *mismatched}


def check_trained(model: str | Path, task: str, instead: str) -> None:
    """
    Checks that a checkpoint was trained for a task.

    Args:
        model (`str` or `Path`): directory or id on the Hub of a transformers model.
        task (`str`): task of the model.
        instead (`str`): instruction for the message.

    Raises:
        `ValueError`: if weights after the encoder would be drawn at random.
    """
    missing = untrained_weights(model, task)
    if missing:
        raise ValueError(
            f"{model} was not trained for the task {task!r}: its weights {missing} would be random numbers. {instead}"
        )
