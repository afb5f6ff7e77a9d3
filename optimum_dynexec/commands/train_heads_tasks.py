"""What `optimum-cli dynexec train-heads` does, by the task of the model."""

import tempfile
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from .running import Outcome
from .train_heads_arguments import read_encoder_options, read_options


def train_heads_of_decoder(args: Namespace, directory: Path, heads: Path) -> Outcome:
    from ..data.continuations import ContinuationArguments
    from ..training.decoder.train import train_heads
    from ..training.decoder.trainer import TrainingArguments

    options = read_options(args)
    options["continuation_arguments"] = ContinuationArguments(**options["continuation_arguments"])
    options["training_arguments"] = TrainingArguments(**options["training_arguments"])
    trained = train_heads(directory, heads, **options)
    values = [{**asdict(head), "path": str(head.path)} for head in trained]
    return {"heads": values}, [f"{head.name}: {head.agreement} ({head.path})" for head in trained]


def train_heads_of_encoder(args: Namespace, directory: Path, heads: Path) -> Outcome:
    from ..directory.config import DynExecConfig

    task = DynExecConfig.from_pretrained(directory).task
    return _encoder_outcome(args, directory, heads, task)


def train_encoder_with_heads(args: Namespace) -> Outcome:
    """With its heads. What comes of it is a transformers model, which is not exported yet."""
    from ..exporters.tasks import resolve_task

    if args.output is None:
        raise ValueError(f"the recipe {args.recipe!r} trains the model too: say with --output where to write it")
    output = Path(args.output)
    with ExitStack() as stack:
        if not args.resume:
            output.mkdir(parents=True, exist_ok=True)
            args.cache_dir = stack.enter_context(tempfile.TemporaryDirectory(dir=output, prefix=".cache-"))
        task = resolve_task(args.model, args.task)
        values, lines = _encoder_outcome(args, args.model, output, task)
    lines.append(
        f"To use them: optimum-cli export dynexec --model {output} --task {task} --heads {output}/heads OUTPUT"
    )
    return {"model": str(output), "attached": False, **values}, lines


def _encoder_outcome(args: Namespace, model: str | Path, output: Path, task: str) -> Outcome:
    from ..data.samples import Columns
    from ..training import EncoderTrainingArguments, train_encoder_heads
    from ..training.encoder.scores import score_line
    from ..training.encoder.shape import HeadOptions

    options = read_encoder_options(args)
    options["columns"] = Columns(**options["columns"])
    options["head"] = HeadOptions(**options["head"])
    options["training_arguments"] = EncoderTrainingArguments(**options["training_arguments"])
    trained = train_encoder_heads(model, output, task=task, **options)
    values = [{**asdict(head), "path": str(head.path)} for head in trained.exits]
    lines = [score_line(head.name, head.scores) for head in trained.exits]
    return {"heads": values, "full_model": asdict(trained.full)}, [*lines, score_line("full model", trained.full)]
