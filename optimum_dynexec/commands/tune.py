"""Defines the command line for `optimum-cli dynexec tune`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from optimum.commands.base import BaseOptimumCLICommand

from ..precision import PRECISIONS
from .columns import add_column_arguments, read_columns
from .numbers import parse_threads
from .running import Outcome, add_common_arguments, describe, run_command


if TYPE_CHECKING:
    from ..directory.tuning import Tuning


OBJECTIVES = ("latency", "throughput")
TRIED_PRECISIONS = ("fast", "exact")
DESCRIPTION = """\
Finds the fastest way to run an exported model, on inputs like yours and
on this machine, and writes it to dynexec_config.json. The model uses it
the next time it is loaded here.

For a decoder: the draft source, the draft length, precision and threads. None of this
changes the output, except for rounding in the precision `fast`. `generate` starts
from it in calls without arguments for speculation. With INT8 and INT4 weights, also
the group size of dynamic quantization in the precision `exact`: the largest one that
is not further from float32 than OpenVINO's default properties.

For a classifier: early exit, batch size, precision and threads. A setting is
chosen only if samples that were not used to choose it show a loss of at most
--max-loss. `early_exit="tuned"` uses it.

All settings run in turns; each round drops the slower half (successive halving). The
leader is chosen only if a last comparison shows that it is faster than running the
untuned model. If the machine is too noisy for that, the model stays untuned."""


class TuneCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument("model", metavar="MODEL_DIR", help="Directory of an exported decoder or classifier.")
        parser.add_argument(
            "--data",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Inputs like those in use. For a decoder, prompts: a .jsonl, .csv or .txt file, or the id of a data"
            " set on the Hub. For a classifier, FILE without a column, also a directory with a folder of images for"
            " each label, or an .npz file. Repeatable.",
        )
        group = parser.add_argument_group("Tuning")
        group.add_argument(
            "--objective",
            choices=OBJECTIVES,
            default="latency",
            help="latency: one request at a time. throughput: several together. Default: %(default)s.",
        )
        group.add_argument(
            "--max-loss",
            type=float,
            default=0.01,
            help="For classifiers: largest accuracy loss, or without labels the share of answers that differ. Default:"
            " %(default)s.",
        )
        group.add_argument(
            "--time-limit",
            type=float,
            default=600.0,
            metavar="SECONDS",
            help="Time for the measurements. A setting that is not shown to be faster by then is not chosen. Default:"
            " %(default)s.",
        )
        group.add_argument(
            "--precision",
            choices=PRECISIONS,
            action="append",
            default=None,
            help="Precision to try. Repeatable. Default: fast and exact.",
        )
        group.add_argument(
            "--threads",
            type=parse_threads,
            default=None,
            metavar="COUNTS",
            help="Numbers of threads to try, separated by commas. Default: half of the processors, and all"
            " processors.",
        )
        group.add_argument("--batch-size", type=int, default=8, help="Prompts in a batch, for throughput. Default: 8.")
        group = parser.add_argument_group("Data")
        group.add_argument(
            "--max-samples",
            type=int,
            default=None,
            help="Maximum number of prompts, or of 16 samples each, drawn at random. Default: 32 prompts, or the"
            " number of samples that is needed to show that a loss is within --max-loss.",
        )
        group.add_argument(
            "--max-new-tokens",
            type=int,
            default=64,
            help="Maximum number of tokens in an answer. Default: %(default)s.",
        )
        add_column_arguments(group)
        group.add_argument("--seed", type=int, default=0, help="Random seed. Default: %(default)s.")
        group.add_argument("--device", default="CPU", help="OpenVINO device. Default: %(default)s.")
        add_common_arguments(parser)

    def run(self):
        run_command("tune", self.args, self._tune)

    def _tune(self) -> Outcome:
        from ..data.samples import Columns
        from ..tuning import TuningArguments, tune

        names = ("objective", "max_loss", "time_limit", "threads", "batch_size", "max_samples", "max_new_tokens")
        arguments = TuningArguments(
            **{name: getattr(self.args, name) for name in (*names, "max_length", "seed", "device")},
            precisions=tuple(dict.fromkeys(self.args.precision or TRIED_PRECISIONS)),
            columns=Columns(**read_columns(self.args)),
        )
        found = tune(self.args.model, data=self.args.data, arguments=arguments)
        return found.to_dict(), tuning_lines(found, self.args.model)


def tuning_lines(found: "Tuning", directory: str) -> list[str]:
    """
    A table of the settings that were tried, and the choice with its reason.

    Args:
        found ([`~directory.tuning.Tuning`]): tuning to describe.
        directory (`str`): directory of the model.
    """
    from ..utils.intervals import interval_text

    width = max(len(row["name"]) for row in found.table)
    with_loss = found.loss is not None
    head = f"{'tried':<{width}}  {'ms':>9}  {'speed':>7}  {'95% interval':>14}  {'runs':>6}  "
    lines = [head + ("   loss  " if with_loss else "") + "outcome"]
    for row in found.table:
        spread = "" if row["interval"] is None else "{:.2f} to {:.2f}".format(*row["interval"])
        cells = f"{row['name']:<{width}}  {1e3 * row['seconds']:>9.3f}  {row['speedup']:>6.2f}x  {spread:>14}"
        cells += f"  {row['runs']:>6}  "
        lines.append(cells + (f"{row['loss']:>7.2%}  " if with_loss else "") + row["outcome"])
    threads = found.ov_config.get("INFERENCE_NUM_THREADS", "default")
    lines += [
        f"Chosen: {found.best['name']} ({found.options}, precision {found.precision}, {threads} threads)",
        f"Reason: {found.decision}",
        speed_line(found),
    ]
    if found.group_sizes:
        lines.append(group_line(found))
    if found.full_accuracy is not None:
        lines.append(full_accuracy_line(found))
    if found.loss_samples:
        lines.append(
            f"Loss on samples that were not used to choose: {found.loss:.2%}"
            f" ({interval_text(found.loss_interval)}, {found.loss_samples} samples); the limit is {found.max_loss:.2%}"
        )
    return [*lines, f"Written to {directory}/dynexec_config.json"]


def group_line(found: "Tuning") -> str:
    """
    The group size of dynamic quantization for the precision `exact`, and how far it is from float32.

    Args:
        found ([`~directory.tuning.Tuning`]): tuning of a decoder with compressed weights.
    """
    kl = {entry["name"]: entry["kl"] for entry in found.group_sizes}
    group = found.ov_config.get("DYNAMIC_QUANTIZATION_GROUP_SIZE", "32")
    return (
        f"Group size of dynamic quantization for the precision exact: {group} (KL divergence from float32"
        f" {kl[group]:.2g}, with OpenVINO's default properties {kl['default']:.2g})"
    )


def full_accuracy_line(found: "Tuning") -> str:
    """
    The accuracy of the full model.

    Args:
        found ([`~directory.tuning.Tuning`]): tuning of a classifier with labels.
    """
    from ..utils.intervals import interval_text

    interval = interval_text(found.full_accuracy_interval)
    return f"Accuracy of the full model: {found.full_accuracy:.2%} ({interval}, {found.full_samples} samples)"


def speed_line(found: "Tuning") -> str:
    """
    The speed of a tuned model relative to plain execution.

    Args:
        found ([`~directory.tuning.Tuning`]): tuning to describe.
    """
    inputs = "1 input" if found.samples == 1 else f"{found.samples} inputs"
    spent = f"{1e3 * found.best['seconds']:.3f} ms per token or sample"
    if found.speedup_interval is None:
        return f"Speed: {spent}, which is plain execution, on {inputs}"
    low, high = found.speedup_interval
    return (
        f"Speed: {spent}, plain execution {1e3 * found.baseline['seconds']:.3f} ms: {found.speedup:.2f} times as fast"
        f" (95% interval {low:.2f} to {high:.2f}, {found.rounds} rounds) on {inputs}"
    )
