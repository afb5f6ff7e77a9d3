"""Defines the command line for `optimum-cli dynexec train-heads`. It is loaded at every call of `optimum-cli`."""

import tempfile
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optimum.commands.base import BaseOptimumCLICommand

from .export import parse_layers
from .running import Outcome, add_common_arguments, describe, run_command


KINDS = ("norm", "adapter", "block")
CONFIG_NAME = "dynexec_config.json"
DESCRIPTION = """\
Trains heads for a decoder, whose own weights stay as they are: a draft head,
which proposes several tokens ahead, and exit heads, which predict tokens from the
hidden states after inner layers. They learn from what the model itself answers to
prompts, so any prompts will do that are like those it will see.

Interrupted, the same command goes on where it was. Each head is a safetensors
file with a training card in it."""


class TrainHeadsCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument(
            "model",
            metavar="MODEL_DIR_OR_ID",
            help="Directory of an exported model. Else a transformers model, a directory or an id on the Hub: it is"
            " exported to --output first.",
        )
        parser.add_argument(
            "--data",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Prompts: a .jsonl, .csv or .txt file, or the id of a data set on the Hub. Repeatable.",
        )
        parser.add_argument(
            "--output",
            default=None,
            metavar="DIR",
            help="Directory for the heads, which are then not attached to the model. Unset, they are put into its"
            " folder `heads` and attached. If the model is not exported yet: the directory of the export, which they"
            " are attached to.",
        )
        group = parser.add_argument_group("Heads")
        group.add_argument(
            "--layers",
            type=parse_layers,
            default=[],
            metavar="LAYERS",
            help="Layers to train an exit head for, separated by commas. Layer 0 is the first. Default: none.",
        )
        group.add_argument(
            "--kind",
            choices=KINDS,
            default="block",
            help="Of the exit heads. norm: only a norm before the model's unembedding. adapter: and a low-rank one."
            " block: a transformer block with a KV cache of its own. Default: %(default)s.",
        )
        group.add_argument("--rank", type=int, default=64, help="Of the kind adapter. Default: %(default)s.")
        group.add_argument(
            "--draft-head", action=BooleanOptionalAction, default=True, help="Train a draft head. Default: yes."
        )
        group.add_argument(
            "--steps",
            type=int,
            default=4,
            help="Steps of its own draft that the draft head learns. Default: %(default)s.",
        )
        group.add_argument(
            "--vocab-size",
            type=int,
            default=8192,
            help="Words of the heads: the model's most frequent tokens. 0: all. Default: %(default)s.",
        )
        group.add_argument(
            "--weight-format",
            choices=("fp32", "fp16", "int8"),
            default="fp16",
            help="Of the heads' files. Default: %(default)s.",
        )
        group = parser.add_argument_group("Data")
        group.add_argument(
            "--continuations",
            choices=("own", "text"),
            default="own",
            help="own: learn from the model's answers. text: from the texts as they stand. Default: %(default)s.",
        )
        group.add_argument("--max-samples", type=int, default=None, help="Texts to use at most. Default: all.")
        group.add_argument(
            "--max-new-tokens", type=int, default=192, help="Length of an answer at most. Default: %(default)s."
        )
        group.add_argument(
            "--temperature",
            type=float,
            default=0.8,
            help="Of the answers that are sampled, 1 in 8; the others are greedy. Default: %(default)s.",
        )
        group = parser.add_argument_group("Training")
        group.add_argument("--epochs", type=float, default=7.0, help="Passes over the texts. Default: %(default)s.")
        group.add_argument("--learning-rate", type=float, default=2e-3, help="At its peak. Default: %(default)s.")
        group.add_argument("--device", default="cpu", help="torch device to train on. Default: %(default)s.")
        group.add_argument("--seed", type=int, default=0, help="Of all that is drawn. Default: %(default)s.")
        group.add_argument(
            "--cache-dir",
            default=None,
            help="For answers, hidden states and checkpoints; may be removed afterwards. Default: .cache beside them.",
        )
        group.add_argument(
            "--resume",
            action=BooleanOptionalAction,
            default=True,
            help="Go on where an interrupted call has stopped, or begin anew and keep nothing. Default: go on.",
        )
        add_common_arguments(parser)

    def run(self):
        run_command("train-heads", self.args, self._train)

    def _train(self) -> Outcome:
        # Loads torch, transformers and openvino, which other commands must not wait for.
        from ..heads.attach import attach_heads
        from ..heads.continuations import ContinuationArguments
        from ..heads.train import train_heads
        from ..heads.trainer import TrainingArguments

        options = read_options(self.args)
        options["continuation_arguments"] = ContinuationArguments(**options["continuation_arguments"])
        options["training_arguments"] = TrainingArguments(**options["training_arguments"])
        directory, heads, attach = self._places()
        with ExitStack() as stack:
            if not self.args.resume:
                heads.mkdir(parents=True, exist_ok=True)
                options["cache_dir"] = stack.enter_context(tempfile.TemporaryDirectory(dir=heads, prefix=".cache-"))
            trained = train_heads(directory, heads, **options)
        if attach:
            attach_heads(directory, heads)
        values = [{**asdict(head), "path": str(head.path)} for head in trained]
        lines = [_head_line(head) for head in trained]
        lines.append(
            f"Attached to {directory}"
            if attach
            else f"To use them: optimum-cli dynexec attach-heads {directory} {heads}"
        )
        return {"model": str(directory), "attached": attach, "heads": values}, lines

    def _places(self) -> tuple[Path, Path, bool]:
        """The exported model, the directory for its heads, and whether they are to be attached."""
        model, output = Path(self.args.model), self.args.output
        if (model / CONFIG_NAME).is_file():
            return model, (model / "heads" if output is None else Path(output)), output is None
        if output is None:
            raise ValueError(
                f"{self.args.model} is not exported yet: say with --output where to, or export it first with"
                " `optimum-cli export dynexec`"
            )
        directory = Path(output)
        if not (self.args.resume and (directory / CONFIG_NAME).is_file()):
            from ..exporters import export_dynexec

            export_dynexec(self.args.model, directory)
        return directory, directory / "heads", True


def _head_line(head: Any) -> str:
    found = head.agreement
    accepted = f", {found.accepted:.2f} of {found.steps} draft tokens stand" if found.steps > 1 else ""
    return f"{head.name}: agrees with the model on {found.first:.1%} of held-out tokens{accepted} ({head.path})"


def read_options(arguments: Namespace) -> dict[str, Any]:
    """
    The command line as arguments of [`~heads.train.train_heads`], the grouped ones as dictionaries.
    """
    names = ("data", "layers", "kind", "draft_head", "continuations", "vocab_size", "rank", "max_samples")
    return {
        **{name: getattr(arguments, name) for name in (*names, "weight_format", "cache_dir")},
        "continuation_arguments": {
            "max_new_tokens": arguments.max_new_tokens,
            "temperature": arguments.temperature,
            "seed": arguments.seed,
        },
        "training_arguments": {
            "epochs": arguments.epochs,
            "learning_rate": arguments.learning_rate,
            "draft_steps": arguments.steps,
            "device": arguments.device,
            "seed": arguments.seed,
        },
    }
