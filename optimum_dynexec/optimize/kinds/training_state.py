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
    "fine-tune the model (--fine-tune, `fine_tune=True`), which needs labels in the data, or give a model that is"
    " already fine-tuned"
)


def check_model(model: str, task: str, parts: Sequence["Samples"], args: OptimizeArguments) -> None:
    """
    Checks that a classifier fits the data, before anything is exported.

    Args:
        model (`str`): directory or id of a transformers model, or directory of an export.
        task (`str`): task of the model.
        parts (`Sequence[Samples]`): parts of the data.
        args ([`OptimizeArguments`]): arguments of the optimization.

    Raises:
        [`OptimizeError`]: if the model is not trained for the task and `fine_tune` is not set, or it cannot be
            fine-tuned.
        `ValueError`: if the model is a multi-label or regression model, or does not have the labels of the data.
    """
    from transformers import AutoConfig

    from ...training.encoder.checks import check_classifier, untrained_weights

    exported = (Path(model) / "openvino_model.xml").is_file()
    if args.fine_tune:
        if exported:
            raise OptimizeError(
                f"an export cannot be fine-tuned: give the transformers model that {model} was exported from"
            )
        if any(samples.labels is None for samples in parts):
            raise OptimizeError(
                "fine-tuning needs labels, but the data has none: name their column with --label-column"
            )
        return
    missing = [] if exported else untrained_weights(model, task)
    if missing:
        raise OptimizeError(
            f"{model} is not trained for the task {task!r}: its weights {missing} would be random numbers."
            f" To use it, {FINE_TUNE}"
        )
    check_classifier(AutoConfig.from_pretrained(model), task, *parts)


def fine_tune(
    model: str, task: str, output: Path, part: str, columns: "Columns | None", args: OptimizeArguments, progress: bool
) -> list[str]:
    """
    Trains a transformers model together with exits after its layers (the recipe `joint`), so that its inner layers
    learn to serve the exits. If the model has no labels, it gets the labels of the data.

    Args:
        model (`str`): directory or id of a transformers model.
        task (`str`): task of the model.
        output (`Path`): directory for the trained model.
        part (`str`): file of the training samples.
        columns ([`~data.samples.Columns`], *optional*): columns of a row.
        args ([`OptimizeArguments`]): arguments of the optimization.
        progress (`bool`): whether to show progress bars.

    Returns:
        `list[str]`: the quality of the model on held-out samples, and warnings.
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
    Judges from labelled samples whether a classifier is trained for their labels.

    Args:
        right (`Sequence[bool]`): whether the answer is right, for each sample.
        labels (`Sequence`): labels of the samples.
        args ([`OptimizeArguments`]): arguments of the optimization, with `accuracy_check`.

    Returns:
        `dict`: `accuracy`, its 95% `interval`, `samples`, `most_frequent` (the share of the most frequent label), and
        a `line` for the reader.

    Raises:
        [`OptimizeError`]: if the samples do not show that the model is right more often than the most frequent label.
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
            f"{line}. The samples do not show that the model is trained for these labels, and a limit on the loss does"
            f" not make a useless model useful: {FINE_TUNE}. If you know that the model is good (rare labels, few"
            " samples), use --no-accuracy-check (`accuracy_check=False`)"
        )
    return {
        "accuracy": accuracy,
        "interval": list(interval),
        "samples": samples,
        "most_frequent": share,
        "line": line,
    }
