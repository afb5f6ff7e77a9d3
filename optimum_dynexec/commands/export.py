"""Defines the command line for `optimum-cli export dynexec`. It is loaded at every call of `optimum-cli`."""

import argparse
import sys
from typing import TYPE_CHECKING

from huggingface_hub.constants import HF_HUB_CACHE
from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.openvino import parse_args_openvino

from ..exporters.optimum_intel import DENIED_OPTIONS
from .head_formats import add_head_formats
from .numbers import parse_layers


if TYPE_CHECKING:
    from argparse import ArgumentParser


class DynExecExportCommand(BaseOptimumCLICommand):
    COMMAND = CommandInfo(name="dynexec", help="Export PyTorch models to OpenVINO IR for input-dependent inference.")

    @staticmethod
    def parse_args(parser: "ArgumentParser"):
        parse_args_openvino(parser)
        # Its own default overlooks HF_HUB_CACHE.
        parser.set_defaults(cache_dir=HF_HUB_CACHE)
        for action in parser._actions:
            # Left out of the help. Given all the same, they end in an error that says why.
            if action.dest in DENIED_OPTIONS:
                action.help, action.default = argparse.SUPPRESS, argparse.SUPPRESS
        group = parser.add_argument_group("Dynamic execution")
        group.add_argument(
            "--exit-layers",
            type=parse_layers,
            default=None,
            metavar="LAYERS",
            help="Layers after which tokens, or whole inputs of an encoder, may leave the model, separated by commas. "
            "Layer 0 is the first.",
        )
        group.add_argument(
            "--heads",
            default=None,
            metavar="PATH",
            help="Trained heads to put beside the model: a safetensors file, or a directory with some.",
        )
        add_head_formats(group)
        group.add_argument(
            "--single-ir",
            action="store_true",
            help="Write a classifier with its exit heads as one model with If operators too, for other runtimes.",
        )
        group.add_argument(
            "--exit-threshold",
            type=float,
            default=None,
            metavar="PROBABILITY",
            help="The probability from which samples leave that model. Default: the calibrated thresholds.",
        )
        group.add_argument("--verbose", action="store_true", help="Show the traceback of an error.")

    def run(self):
        # Loads torch, transformers and openvino, which other commands must not wait for.
        from optimum_dynexec.exporters import export_dynexec

        options = dict(vars(self.args))
        verbose = options.pop("verbose")
        # Set by the command line itself.
        options.pop("func")
        try:
            export_dynexec(options.pop("model"), options.pop("output"), **options)
        except Exception as error:
            if verbose:
                raise
            message = " ".join(str(error).split()) or type(error).__name__
            sys.exit(f"optimum-cli export dynexec: error: {message}")
