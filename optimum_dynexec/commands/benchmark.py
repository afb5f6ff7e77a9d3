"""Defines the command line for `optimum-cli dynexec benchmark`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser, Namespace
from typing import Any

from optimum.commands.base import BaseOptimumCLICommand

from ..precision import PRECISIONS
from .columns import add_column_arguments, read_columns
from .numbers import parse_batch_sizes
from .options import parse_named, parse_named_object, parse_object, unique
from .running import Outcome, add_common_arguments, describe, run_command


DESCRIPTION = """\
Compares exported models. Each model runs with and without dynamic execution, in turns
within one run. With a model and its quantized exports, this is the ablation
{baseline, quantized, dynamic, both}:

  optimum-cli dynexec benchmark f32=smol-f32 int8=smol-int8 int4=smol-int4 \\
      --data questions.jsonl --perplexity-data held_out.txt --out results.json
  optimum-cli dynexec report results.json report/

Decoders: tokens per second, equality with plain decoding, perplexity. Classifiers:
latency, accuracy, exit layers. Diffusion pipelines: latency, network calls,
similarity to the image without dynamic execution.

The machine should have nothing else to do. If the command is interrupted, it resumes
where it stopped: records are stored next to the results."""


class BenchmarkCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument(
            "models",
            nargs="+",
            type=parse_named,
            metavar="NAME=DIR",
            help="Names and directories of exports for the same task. All runs are compared with the first export"
            " without dynamic execution.",
        )
        parser.add_argument(
            "--data",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Test data. For decoders and diffusion, prompts: a .jsonl (also Spec-Bench's), .csv or .txt file, or"
            " the id of a data set on the Hub. For classifiers, FILE without a column, also a directory with a folder"
            " of images for each label, or an .npz file. It must not have been used in training or calibration."
            " Repeatable.",
        )
        parser.add_argument("--out", required=True, metavar="FILE", help="JSON file for the results.")
        group = parser.add_argument_group("Measuring")
        group.add_argument(
            "--max-samples", type=int, default=None, help="Maximum number of prompts or samples. Default: all."
        )
        group.add_argument(
            "--precision",
            choices=PRECISIONS,
            default="auto",
            help="exact: speculation cannot change a token. f32: float32. fast: OpenVINO's defaults; with speculation"
            " `auto`, the same call can give different text from call to call. auto: exact for a decoder with"
            " compressed weights, fast for others. Default: %(default)s.",
        )
        group.add_argument(
            "--repeats", type=int, default=5, help="Number of repeats; medians are reported. Default: %(default)s."
        )
        group.add_argument("--seed", type=int, default=0, help="Random seed. Default: %(default)s.")
        group.add_argument(
            "--threads", type=int, default=None, help="Number of OpenVINO's threads. Default: OpenVINO's choice."
        )
        group.add_argument("--device", default="CPU", help="OpenVINO device. Default: %(default)s.")
        group.add_argument(
            "--max-loss",
            type=float,
            default=0.01,
            metavar="SHARE",
            help="Largest loss of quality: accuracy, relative rise of perplexity, or 1 - SSIM. Default: %(default)s.",
        )
        group = parser.add_argument_group("Dynamic execution")
        group.add_argument(
            "--dynamic",
            type=parse_object,
            default=None,
            metavar="JSON",
            help="Options of the dynamic calls. For decoders: arguments of `generate`, by default speculation `auto`."
            " For classifiers: fields of an EarlyExitConfig, by default the calibrated thresholds. For diffusion:"
            " those of `dynexec`, and num_inference_steps.",
        )
        group.add_argument(
            "--variant",
            dest="variants",
            action="append",
            type=parse_named_object,
            default=[],
            metavar="NAME=JSON",
            help="Further options to measure, in the form of --dynamic: a point of the Pareto curve. Repeatable.",
        )
        group = parser.add_argument_group("Decoders")
        group.add_argument(
            "--max-new-tokens",
            type=int,
            default=128,
            help="Maximum number of tokens in an answer. Default: %(default)s.",
        )
        group.add_argument(
            "--perplexity-data",
            action="append",
            default=[],
            metavar="FILE[:COLUMN]",
            help="Held-out text for the perplexity, which shows the loss by quantization. Repeatable.",
        )
        group.add_argument(
            "--max-perplexity-tokens",
            type=int,
            default=16384,
            help="Maximum number of tokens for the perplexity. Default: %(default)s.",
        )
        group.add_argument(
            "--perplexity-window", type=int, default=1024, help="Number of tokens in a window. Default: %(default)s."
        )
        group.add_argument(
            "--perplexity-stride",
            type=int,
            default=512,
            help="Number of tokens from one window to the next. Default: %(default)s.",
        )
        group = parser.add_argument_group("Classifiers")
        group.add_argument(
            "--batch-sizes",
            type=parse_batch_sizes,
            default=[1, 8, 32],
            metavar="SIZES",
            help="Batch sizes, separated by commas. The report shows the first one first. Default: 1,8,32.",
        )
        add_column_arguments(group)
        group = parser.add_argument_group("Diffusion pipelines")
        group.add_argument(
            "--num-inference-steps", type=int, default=50, help="Number of denoising steps. Default: %(default)s."
        )
        group.add_argument(
            "--guidance-scale", type=float, default=None, help="Guidance scale. Default: the pipeline's."
        )
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
    """The results as lines for a terminal."""
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
