"""The work of `optimum-cli dynexec train-heads`, by the task of the model."""

import os
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .running import Outcome
from .train_heads_arguments import read_encoder_options, read_options


# (directory of the export, directory for the heads, directory for what may be removed afterwards) -> what came of it
Training = Callable[[Path, Path, str | None], Outcome]


def prepare_decoder(args: Namespace, task: str, exported: bool) -> Training:
    """
    Checks the arguments, and the data too if the model is yet to be exported; gives what trains the heads.

    Args:
        args (`Namespace`): of the command line.
        task (`str`): of the model.
        exported (`bool`): whether the model is an export.
    """
    from ..data.continuations import ContinuationArguments
    from ..training.decoder.evaluation import agreement_warnings
    from ..training.decoder.train import train_heads
    from ..training.decoder.trainer import TrainingArguments

    options = read_options(args)
    options["continuation_arguments"] = ContinuationArguments(**options["continuation_arguments"])
    options["training_arguments"] = TrainingArguments(**options["training_arguments"])
    if not exported:
        from ..data.texts import read_texts

        if args.start_from is not None and not os.path.exists(args.start_from):
            raise ValueError(f"--start-from: there are no heads at {args.start_from}")
        for source in args.data:
            read_texts(source)

    def train(directory: Path, heads: Path, cache_dir: str | None) -> Outcome:
        trained = train_heads(directory, heads, **{**options, "cache_dir": cache_dir})
        values = [{**asdict(head), "path": str(head.path)} for head in trained]
        warnings = agreement_warnings({head.name: head.agreement for head in trained})
        lines = [f"{head.name}: {head.agreement} ({head.path})" for head in trained]
        lines += [f"Warning: {line}" for line in warnings]
        return {"heads": values, "warnings": warnings}, lines

    return train


def prepare_encoder(args: Namespace, task: str, exported: bool) -> Training:
    """As [`prepare_decoder`], for the other models."""
    options = _encoder_options(args)
    if not exported:
        _check_encoder(args, options, task)

    def train(directory: Path, heads: Path, cache_dir: str | None) -> Outcome:
        return _train_encoder({**options, "cache_dir": cache_dir}, directory, heads, task)

    return train


def _check_encoder(args: Namespace, options: dict[str, Any], task: str) -> None:
    from transformers import AutoConfig

    from ..data.samples import read_samples
    from ..training.encoder.checks import check_classifier, check_trained

    columns = options["columns"]
    parts = [read_samples(args.data, columns)]
    if args.eval_data:
        parts.append(read_samples(args.eval_data, columns, split="validation"))
    for samples in parts:
        options["training_arguments"].share_of_labels(samples.labels is not None)
    check_classifier(AutoConfig.from_pretrained(args.model), task, *parts)
    check_trained(
        args.model,
        task,
        "Give a model that is fine-tuned for the task, or train it together with its heads (--recipe joint)",
    )


def train_encoder_with_heads(args: Namespace) -> Outcome:
    """Trains the model with its heads. The result is a transformers model, which is not exported yet."""
    from ..exporters.tasks import resolve_task

    if args.output is None:
        raise ValueError(f"the recipe {args.recipe!r} also trains the model: give a directory for it with --output")
    output, options = Path(args.output), _encoder_options(args)
    with ExitStack() as stack:
        if not args.resume:
            output.mkdir(parents=True, exist_ok=True)
            options["cache_dir"] = stack.enter_context(tempfile.TemporaryDirectory(dir=output, prefix=".cache-"))
        task = resolve_task(args.model, args.task)
        values, lines = _train_encoder(options, args.model, output, task)
    lines.append(
        f"To use them, run `optimum-cli export dynexec --model {output} --task {task} --heads {output}/heads OUTPUT`"
    )
    return {"model": str(output), "attached": False, **values}, lines


def _encoder_options(args: Namespace) -> dict[str, Any]:
    from ..data.samples import Columns
    from ..training import EncoderTrainingArguments
    from ..training.encoder.shape import HeadOptions

    options = read_encoder_options(args)
    options["columns"] = Columns(**options["columns"])
    options["head"] = HeadOptions(**options["head"])
    options["training_arguments"] = EncoderTrainingArguments(**options["training_arguments"])
    return options


def _train_encoder(options: dict[str, Any], model: str | Path, output: Path, task: str) -> Outcome:
    from ..training import train_encoder_heads
    from ..training.encoder.scores import score_line

    trained = train_encoder_heads(model, output, task=task, **options)
    values = [{**asdict(head), "path": str(head.path)} for head in trained.exits]
    lines = [score_line(head.name, head.scores) for head in trained.exits]
    lines += [score_line("full model", trained.full), *(f"Warning: {line}" for line in trained.warnings)]
    return {"heads": values, "full_model": asdict(trained.full), "warnings": trained.warnings}, lines
