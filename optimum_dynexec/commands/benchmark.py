"""Defines the command line for `optimum-cli dynexec benchmark`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser, Namespace
from typing import Any

from optimum.commands.base import BaseOptimumCLICommand

from .columns import add_column_arguments, read_columns
from .numbers import parse_batch_sizes
from .options import parse_named, parse_named_object, parse_object, unique
from .running import Outcome, add_common_arguments, describe, run_command


DESCRIPTION = """\
Measures exported models side by side, each run plainly and dynamically, in turns
within one run. With a model and its quantized exports this is the ablation
{baseline, quantized, dynamic, both}:

  optimum-cli dynexec benchmark f32=smol-f32 int8=smol-int8 int4=smol-int4 \\
      --data questions.jsonl --perplexity-data held_out.txt --out results.json
  optimum-cli dynexec report results.json report/

Decoders: tokens per second, equality with plain decoding, perplexity. Classifiers:
latency, accuracy, where samples leave. Diffusion pipelines: latency, network calls,
similarity to the plain picture.

The machine should have nothing else to do. Interrupted, the same command goes on
where it was: records stand beside the results."""


class BenchmarkCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument(
            "models",
            nargs="+",
            type=parse_named,
            metavar="NAME=DIR",
            help="Directories of exports for the same task, and what to call them. The first, run plainly, is what all"
            " others are compared with.",
        )
        parser.add_argument(
            "--data",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Of decoders and diffusion, prompts: a .jsonl (also Spec-Bench's), .csv or .txt file, or the id of a"
            " data set on the Hub. Of classifiers, FILE without a column: also a directory with a folder of images for"
            " each label, or an .npz file. Nothing may have been trained or calibrated on it. Repeatable.",
        )
        parser.add_argument("--out", required=True, metavar="FILE", help="JSON file for the results.")
        group = parser.add_argument_group("Measuring")
        group.add_argument("--max-samples", type=int, default=None, help="Prompts or samples at most. Default: all.")
        group.add_argument(
            "--precision",
            choices=("fast", "exact"),
            default="fast",
            help="fast: as OpenVINO computes by default. exact: in float32, where speculation cannot change a token."
            " Default: %(default)s.",
        )
        group.add_argument(
            "--repeats", type=int, default=5, help="Of every run; medians are reported. Default: %(default)s."
        )
        group.add_argument("--seed", type=int, default=0, help="Of all that is drawn. Default: %(default)s.")
        group.add_argument("--threads", type=int, default=None, help="Of OpenVINO. Default: what it chooses.")
        group.add_argument("--device", default="CPU", help="OpenVINO device. Default: %(default)s.")
        group.add_argument(
            "--max-loss",
            type=float,
            default=0.01,
            metavar="SHARE",
            help="Quality that may be lost: accuracy, relative rise of perplexity, or 1 - SSIM. Default: %(default)s.",
        )
        group = parser.add_argument_group("Dynamic execution")
        group.add_argument(
            "--dynamic",
            type=parse_object,
            default=None,
            metavar="JSON",
            help="Options of the dynamic calls. Of decoders those of `generate`, by default its speculation auto; of"
            " classifiers the fields of an EarlyExitConfig, by default the calibrated thresholds; of diffusion those"
            " of `dynexec`, and num_inference_steps.",
        )
        group.add_argument(
            "--variant",
            dest="variants",
            action="append",
            type=parse_named_object,
            default=[],
            metavar="NAME=JSON",
            help="Further options to measure, as --dynamic takes them: a point of the Pareto curve. Repeatable.",
        )
        group = parser.add_argument_group("Decoders")
        group.add_argument(
            "--max-new-tokens", type=int, default=128, help="Length of an answer at most. Default: %(default)s."
        )
        group.add_argument(
            "--perplexity-data",
            action="append",
            default=[],
            metavar="FILE[:COLUMN]",
            help="Held-out text that perplexity is measured on, which says what quantization loses. Repeatable.",
        )
        group.add_argument(
            "--max-perplexity-tokens", type=int, default=16384, help="Of it, at most. Default: %(default)s."
        )
        group.add_argument(
            "--perplexity-window", type=int, default=1024, help="Tokens of a window. Default: %(default)s."
        )
        group.add_argument(
            "--perplexity-stride", type=int, default=512, help="From one window to the next. Default: %(default)s."
        )
        group = parser.add_argument_group("Classifiers")
        group.add_argument(
            "--batch-sizes",
            type=parse_batch_sizes,
            default=[1, 8, 32],
            metavar="SIZES",
            help="Separated by commas; the first leads the report. Default: 1,8,32.",
        )
        add_column_arguments(group)
        group = parser.add_argument_group("Diffusion pipelines")
        group.add_argument("--num-inference-steps", type=int, default=50, help="Default: %(default)s.")
        group.add_argument("--guidance-scale", type=float, default=None, help="Default: the pipeline's.")
        add_common_arguments(parser)

    def run(self):
        run_command("benchmark", self.args, self._benchmark)

    def _benchmark(self) -> Outcome:
        from ..benchmark import BenchmarkArguments, run_benchmark
        from ..data.samples import Columns

        models = unique("models", self.args.models)
        arguments = BenchmarkArguments(columns=Columns(**read_columns(self.args)), **read_options(self.args))
        results = run_benchmark(models, self.args.data, arguments, self.args.out)
        return results, [*outcome_lines(results), f"Written to {self.args.out}"]


def read_options(arguments: Namespace) -> dict[str, Any]:
    """The command line as arguments of a [`~benchmark.BenchmarkArguments`], without the columns."""
    names = (
        "max_samples precision repeats seed threads device max_loss dynamic max_new_tokens perplexity_data"
        " max_perplexity_tokens perplexity_window perplexity_stride batch_sizes max_length num_inference_steps"
        " guidance_scale"
    )
    return {
        **{name: getattr(arguments, name) for name in names.split()},
        "variants": unique("variants", arguments.variants),
    }


def outcome_lines(results: dict[str, Any]) -> list[str]:
    """Results for people who look at a terminal."""
    from ..benchmark.tables import system_table

    found = results["answer"]
    lines = [found["sentence"], *found["remarks"]]
    for workload in results["workloads"]:
        title = [f"{workload['name']}:"] if len(results["workloads"]) > 1 else []
        lines += ["", *title, *system_table(results, workload).splitlines()]
        lines += [
            f"{row['model']}/{row['mode']}: quantized {row['quantized']:.2f} × dynamic {row['dynamic']:.2f} ="
            f" {row['product']:.2f}; both {row['both']:.2f}, which is {row['share']:.2f} of it"
            for row in workload["multiplication"]
        ]
    lines += ["", *(warning for row in results["workloads"][0]["systems"] for warning in row["warnings"])]
    if not results["energy"]["available"]:
        lines.append(f"Energy was not measured: {results['energy']['reason']}.")
    return lines
