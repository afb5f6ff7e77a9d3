"""Defines `optimum-cli dynexec`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand, CommandInfo

from .attach_heads import AttachHeadsCommand
from .benchmark import BenchmarkCommand
from .calibrate import CalibrateCommand
from .draft_corpus import DraftCorpusCommand
from .optimize import OptimizeCommand
from .quantize import QuantizeCommand
from .report import ReportCommand
from .running import STATUS, describe
from .serve import ServeCommand
from .train_heads import TrainHeadsCommand
from .train_steps import TrainStepsCommand
from .tune import TuneCommand


class DynExecCommand(BaseOptimumCLICommand):
    COMMAND = CommandInfo(name="dynexec", help="Train, calibrate, tune and measure dynamic execution.")
    SUBCOMMANDS = (
        CommandInfo("optimize", "Make a model fast within a quality limit, in one command.", OptimizeCommand),
        CommandInfo("train-heads", "Train heads for an exported model.", TrainHeadsCommand),
        CommandInfo("attach-heads", "Attach trained heads to an exported model.", AttachHeadsCommand),
        CommandInfo("calibrate", "Find thresholds of early exit with a guarantee.", CalibrateCommand),
        CommandInfo("quantize", "Quantize an exported model with its heads.", QuantizeCommand),
        CommandInfo("draft-corpus", "Make a draft corpus of your own texts.", DraftCorpusCommand),
        CommandInfo("serve", "Serve a model with OpenAI's API.", ServeCommand),
        CommandInfo("benchmark", "Measure models with and without dynamic execution.", BenchmarkCommand),
        CommandInfo("report", "Make a page from benchmark results.", ReportCommand),
        CommandInfo("train-steps", "Train a step predictor for a diffusion pipeline.", TrainStepsCommand),
        CommandInfo("tune", "Find the fastest way to run a model on this machine.", TuneCommand),
    )

    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(
            parser,
            "Heads predict tokens from a model's inner layers. They draft for the model, which does not\n"
            "change its output, or, after calibration, answer instead of it.\n\n"
            "Start with `optimum-cli export dynexec`, then train-heads. calibrate is for early exit.\n"
            "train-steps is for diffusion pipelines, exported with `optimum-cli export openvino`.\n"
            "serve answers requests over HTTP.\n"
            "benchmark measures the result, and report makes a page from it.",
            STATUS,
        )
