"""Defines the command line for `optimum-cli dynexec optimize`. It is loaded at every call of `optimum-cli`."""

import sys
from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand

from .columns import add_column_arguments, read_columns
from .numbers import parse_layers
from .running import Outcome, add_common_arguments, describe, run_command


# The entries of the registry, which is not imported because other commands must not wait for it.
RECIPES = ("latency", "throughput", "memory")
DESCRIPTION = """\
Makes a model fast within a quality limit, in one command: exports it, quantizes it as
far as the limit allows, trains heads on the quantized model, calibrates early exit for
the rest of the limit, tunes, measures and writes a report.

The command needs inputs like those in use. It splits them into three parts: to
train, to choose and to report. It prints each decision with its reason.

If the command is interrupted, it resumes where it stopped. With other arguments, it
repeats the steps that depend on them. The result is OUTPUT/model."""


class OptimizeCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument(
            "model",
            metavar="MODEL",
            help="Directory or Hub id of a transformers model, or directory of an export in fp32.",
        )
        parser.add_argument("output", metavar="OUTPUT", help="Directory for all results.")
        parser.add_argument(
            "--data",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Inputs like those in use. For a decoder, prompts: a .jsonl, .csv or .txt file, or the id of"
            " a data set on the Hub. For a classifier, FILE without a column, also a directory with a folder of images"
            " for each label, or an .npz file. Repeatable.",
        )
        parser.add_argument("--task", default="auto", help="Task of the model. Default: from its architecture.")
        group = parser.add_argument_group("Goal")
        group.add_argument(
            "--recipe",
            choices=RECIPES,
            default="latency",
            help="latency: one request at a time. throughput: several together. memory: small weights, and no head"
            " that takes more. Default: %(default)s.",
        )
        group.add_argument(
            "--max-loss",
            type=float,
            default=0.01,
            help="Largest loss of quality, relative to the model in fp32. Decoders: the share of tokens that differ."
            " Classifiers: accuracy, or without labels the share of answers that differ. Default: %(default)s.",
        )
        group.add_argument(
            "--format",
            action="append",
            default=None,
            metavar="NAME",
            help="Quantization to try, instead of the recipe's. Repeatable. Decoders: int8, int4, int4-mixed."
            " Classifiers: int8-weights, int8. none: no quantization.",
        )
        group = parser.add_argument_group("Training of a classifier")
        group.add_argument(
            "--fine-tune",
            action="store_true",
            help="First train the model on the labels of the data, together with exit heads (the recipe `joint` of"
            " train-heads). An encoder without a classifier gets one for these labels.",
        )
        group.add_argument(
            "--fine-tune-epochs",
            type=float,
            default=None,
            help="Number of passes over the data for --fine-tune. Default: 3.",
        )
        group.add_argument(
            "--no-accuracy-check",
            dest="accuracy_check",
            action="store_false",
            help="Accept a model that is not shown to be more accurate than the most frequent label of the data.",
        )
        group = parser.add_argument_group("Heads")
        group.add_argument("--heads", default=None, metavar="PATH", help="Trained heads to use. Default: train heads.")
        group.add_argument("--no-heads", dest="train", action="store_false", help="Do not train heads.")
        group.add_argument(
            "--layers",
            type=parse_layers,
            default=None,
            metavar="LAYERS",
            help="Layers to train exit heads for. Default: none for a decoder, all but the last for a classifier.",
        )
        group.add_argument(
            "--epochs", type=float, default=None, help="Epochs of the training. Default: as in train-heads."
        )
        group.add_argument(
            "--vocab-size",
            type=int,
            default=8192,
            help="Number of tokens that a decoder's heads can predict. Default: %(default)s.",
        )
        group = parser.add_argument_group("Effort")
        group.add_argument("--max-samples", type=int, default=None, help="Maximum number of inputs. Default: all.")
        group.add_argument(
            "--max-new-tokens",
            type=int,
            default=128,
            help="Maximum number of tokens in a decoder's answer. Default: %(default)s.",
        )
        group.add_argument(
            "--quantization-samples",
            type=int,
            default=64,
            help="Number of samples for data-aware quantization. Default: %(default)s.",
        )
        group.add_argument(
            "--tuning-time",
            type=float,
            default=600.0,
            metavar="SECONDS",
            help="Time for tuning. Default: %(default)s.",
        )
        group.add_argument(
            "--benchmark-samples",
            type=int,
            default=None,
            help="Number of inputs for the report; with 0, there is no report. Default: 20 prompts, or the number of"
            " samples needed to show that a loss is within --max-loss, if the data has enough.",
        )
        group.add_argument(
            "--delta",
            type=float,
            default=0.1,
            help="Probability that a calibrated risk is above its limit. Default: %(default)s.",
        )
        group = parser.add_argument_group("Data of classifiers")
        add_column_arguments(group)
        group.add_argument("--seed", type=int, default=0, help="Random seed. Default: %(default)s.")
        add_common_arguments(parser)

    def run(self):
        run_command("optimize", self.args, self._optimize)

    def _optimize(self) -> Outcome:
        from ..data.samples import Columns
        from ..optimize import OptimizeArguments, optimize

        names = ["recipe", "max_loss", "task", "heads", "train", "layers", "epochs", "vocab_size", "max_samples"]
        names += ["fine_tune", "fine_tune_epochs", "accuracy_check"]
        names += ["max_new_tokens", "quantization_samples", "max_length", "delta", "tuning_time"]
        formats = self.args.format
        arguments = OptimizeArguments(
            **{name: getattr(self.args, name) for name in [*names, "benchmark_samples", "seed"]},
            formats=None if formats is None else tuple(name for name in formats if name != "none"),
            columns=Columns(**read_columns(self.args)),
        )
        # Decisions are printed to stderr during the run, and again to stdout at the end.
        found = optimize(self.args.model, self.args.output, data=self.args.data, arguments=arguments, say=_tell)
        values = {
            "model": str(found.directory),
            "report": None if found.report is None else str(found.report),
            "lines": found.lines,
            "steps": found.steps,
        }
        return values, [*found.lines, f"The model: {found.directory}"]


def _tell(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
