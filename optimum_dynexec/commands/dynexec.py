"""Defines `optimum-cli dynexec`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand, CommandInfo

from .attach_heads import AttachHeadsCommand
from .benchmark import BenchmarkCommand
from .calibrate import CalibrateCommand
from .optimize import OptimizeCommand
from .quantize import QuantizeCommand
from .report import ReportCommand
from .running import STATUS, describe
from .train_heads import TrainHeadsCommand
from .train_steps import TrainStepsCommand
from .tune import TuneCommand


class DynExecCommand(BaseOptimumCLICommand):
    COMMAND = CommandInfo(name="dynexec", help="Train, calibrate and measure what dynamic execution needs.")
    SUBCOMMANDS = (
        CommandInfo("optimize", "Make a model fast within a limit of quality: all of it.", OptimizeCommand),
        CommandInfo("train-heads", "Train heads for an exported model.", TrainHeadsCommand),
        CommandInfo("attach-heads", "Put trained heads beside an exported model.", AttachHeadsCommand),
        CommandInfo("calibrate", "Find thresholds for early exit with a guarantee.", CalibrateCommand),
        CommandInfo("quantize", "Quantize an exported model with its heads.", QuantizeCommand),
        CommandInfo("benchmark", "Measure models with dynamic execution and without.", BenchmarkCommand),
        CommandInfo("report", "Make a page of what was measured.", ReportCommand),
        CommandInfo("train-steps", "Train a predictor of a diffusion pipeline's steps.", TrainStepsCommand),
        CommandInfo("tune", "Measure which way of running a model is fastest here.", TuneCommand),
    )

    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(
            parser,
            "Heads predict tokens from a model's inner layers. They draft for it, which does not\n"
            "change its output, or, calibrated, answer in its place.\n\n"
            "First `optimum-cli export dynexec`, then train-heads; calibrate is for early exit.\n"
            "train-steps is for diffusion pipelines, exported with `optimum-cli export openvino`.\n"
            "benchmark measures what came of it, and report makes a page of that.",
            STATUS,
        )
