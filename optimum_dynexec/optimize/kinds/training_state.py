"""Whether a classifier is trained for the labels of the data, and how it is fine-tuned if not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.intervals import interval_text, proportion_interval
from ..arguments import OptimizeArguments
from ..errors import OptimizeError


if TYPE_CHECKING:
    from ...data.samples import Columns, Samples

FINE_TUNE = (
    "fine-tune it here (--fine-tune, `fine_tune=True`), which takes labels in the data, or give a model that is"
    " fine-tuned already"
)


def check_model(model: str, task: str, parts: Sequence["Samples"], args: OptimizeArguments) -> None:
    """
    Checks a classifier against the data, before anything is exported.

    Args:
        model (`str`): directory or id of a transformers model, or directory of an export.
        task (`str`): of the model.
        parts (`Sequence[Samples]`): the data.
        args ([`OptimizeArguments`]): what for.

    Raises:
        [`OptimizeError`]: if it is not trained for the task and is not to be, or fine-tuning is not possible.
        `ValueError`: if it is for several labels or a number, or does not know the labels of the data.
    """
    from transformers import AutoConfig

    from ...training.encoder.checks import check_classifier, untrained_weights

    exported = (Path(model) / "openvino_model.xml").is_file()
    if args.fine_tune:
        if exported:
            raise OptimizeError(f"an export cannot be fine-tuned: give the transformers model that {model} is made of")
        if any(samples.labels is None for samples in parts):
            raise OptimizeError("fine-tuning takes labels: name their column with --label-column")
        return
    missing = [] if exported else untrained_weights(model, task)
    if missing:
        raise OptimizeError(
            f"{model} is not trained for the task {task!r}: its weights {missing} would be random numbers. So"
            f" {FINE_TUNE}"
        )
    check_classifier(AutoConfig.from_pretrained(model), task, *parts)


def fine_tune(
    model: str, task: str, output: Path, part: str, columns: "Columns | None", args: OptimizeArguments, progress: bool
) -> list[str]:
    """
    Trains a transformers model together with exits after its layers (the recipe `joint`), so that its inner layers
    learn to serve them; the labels are those of the data where the model has none.

    Args:
        model (`str`): directory or id of a transformers model.
        task (`str`): of the model.
        output (`Path`): directory for the trained model.
        part (`str`): file of the samples to learn from.
        columns ([`~data.samples.Columns`], *optional*): where in a row things stand.
        args ([`OptimizeArguments`]): how long.
        progress (`bool`): show progress bars.

    Returns:
        `list[str]`: how good the model is on samples that were held out, and what is wrong with it.
    """
    from ...training import EncoderTrainingArguments, train_encoder_heads
    from ...training.encoder.scores import score_line

    trained = train_encoder_heads(
        model,
        output,
        task=task,
        data=[part],
        columns=columns,
        training_arguments=EncoderTrainingArguments(recipe="joint", epochs=args.fine_tune_epochs, seed=args.seed),
        max_length=args.max_length,
        progress=progress,
    )
    return [score_line("full model", trained.full), *(f"warning: {line}" for line in trained.warnings)]


def judge_baseline(right: Sequence[bool], labels: Sequence[Any], args: OptimizeArguments) -> Mapping[str, Any]:
    """
    Judges whether a classifier is any good on labelled samples.

    Args:
        right (`Sequence[bool]`): for each sample, whether it is.
        labels (`Sequence`): of the samples.
        args ([`OptimizeArguments`]): whether to check.

    Returns:
        `dict`: `accuracy`, its 95% `interval`, `samples`, `most_frequent` (the share of the most frequent label), and
        a `line` for people.

    Raises:
        [`OptimizeError`]: if the model is not shown to be right more often than its most frequent label is.
    """
    from ...data.samples import most_frequent_share

    samples = len(right)
    interval = proportion_interval(sum(map(bool, right)), samples)
    share = most_frequent_share(list(labels)) or 0.0
    accuracy = sum(map(bool, right)) / samples
    line = (
        f"the model in fp32 has an accuracy of {accuracy:.2%} ({interval_text(interval)}, {samples} samples);"
        f" always answering the most frequent label would have {share:.2%}"
    )
    if args.accuracy_check and interval.low <= share:
        raise OptimizeError(
            f"{line}. Nothing shows that the model is trained for these labels, and within a limit of loss a useless"
            f" model stays useless: {FINE_TUNE}. If you know that it is good (rare labels, few samples), say"
            " --no-accuracy-check (`accuracy_check=False`)"
        )
    return {
        "accuracy": accuracy,
        "interval": list(interval),
        "samples": samples,
        "most_frequent": share,
        "line": line,
    }
