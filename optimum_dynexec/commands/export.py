"""Defines the command line for `optimum-cli export dynexec`. It is loaded at every call of `optimum-cli`."""

import argparse
from typing import TYPE_CHECKING

from huggingface_hub.constants import HF_HUB_CACHE
from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.openvino import parse_args_openvino

from ..exporters.optimum_intel import DENIED_OPTIONS
from .head_formats import add_head_formats
from .numbers import parse_layers
from .running import Outcome, add_common_arguments, describe, run_command


if TYPE_CHECKING:
    from argparse import ArgumentParser


DESCRIPTION = """\
Exports a transformers model to a directory that optimum-intel and openvino-genai
can load and that dynamic execution can run: a decoder, an encoder, or a vision or
audio model. The output directory appears when the export is complete.

  optimum-cli export dynexec --model HuggingFaceTB/SmolLM2-135M-Instruct \\
      --weight-format int8 smollm2-int8"""


class DynExecExportCommand(BaseOptimumCLICommand):
    COMMAND = CommandInfo(name="dynexec", help="Export PyTorch models to OpenVINO IR for input-dependent inference.")

    @staticmethod
    def parse_args(parser: "ArgumentParser"):
        parse_args_openvino(parser)
        describe(parser, DESCRIPTION)
        # The default of optimum-intel ignores HF_HUB_CACHE.
        parser.set_defaults(cache_dir=HF_HUB_CACHE)
        for action in parser._actions:
            # These options are not shown in the help. If they are given, an error says why they cannot be used.
            if action.dest in DENIED_OPTIONS:
                action.help, action.default = argparse.SUPPRESS, argparse.SUPPRESS
        group = parser.add_argument_group("Dynamic execution")
        group.add_argument(
            "--exit-layers",
            type=parse_layers,
            default=None,
            metavar="LAYERS",
            help="Layers after which tokens, or samples of an encoder, may leave the model, separated by commas. "
            "Layer 0 is the first.",
        )
        group.add_argument(
            "--heads",
            default=None,
            metavar="PATH",
            help="Trained heads to attach: a safetensors file, or a directory of such files.",
        )
        add_head_formats(group)
        group.add_argument(
            "--single-ir",
            action="store_true",
            help="Also write a classifier with its exit heads as one model with If operators, for other runtimes.",
        )
        group.add_argument(
            "--exit-threshold",
            type=float,
            default=None,
            metavar="PROBABILITY",
            help="Probability from which samples leave the model of --single-ir. Default: the calibrated thresholds.",
        )
        group.add_argument(
            "--no-measure",
            action="store_true",
            help="Do not measure the group sizes of dynamic quantization. Otherwise, a decoder with 8 or 4 bits gets "
            "the largest one that is as accurate as OpenVINO's default.",
        )
        add_common_arguments(parser)

    def run(self):
        run_command("dynexec", self.args, self._export, group="export")

    def _export(self) -> Outcome:
        # Loads torch, transformers and openvino, for which other commands must not wait.
        from ..exporters import export_dynexec
        from ..tuning import measure_group

        # The command line itself sets the last one.
        options = {name: value for name, value in vars(self.args).items() if name not in ("json", "verbose", "func")}
        output = str(options.pop("output"))
        measure = not options.pop("no_measure")
        config = export_dynexec(options.pop("model"), output, **options)
        if measure:
            config = measure_group(output)
        attached = sorted(config.heads)
        values = {
            "output": output,
            "task": config.task,
            "num_layers": len(config.hidden_state_names),
            "exit_layers": config.exit_layers,
            "heads": attached,
            "pageable": config.pageable,
            "pageable_reason": config.pageable_reason,
            "group_size": config.group_size,
            "model_hash": config.model_hash,
        }
        heads = f", with {', '.join(attached)}" if attached else ""
        article = "an" if config.task[0] in "aeiou" else "a"
        lines = [f"Exported {article} {config.task} model to {output}{heads}"]
        if not attached and config.hidden_state_names:
            lines.append(f"To train heads for it, run `optimum-cli dynexec train-heads {output} --data FILE`")
        return values, lines
