"""Defines `optimum-cli dynexec`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand, CommandInfo

from .attach_heads import AttachHeadsCommand
from .calibrate import CalibrateCommand
from .running import STATUS, describe
from .train_heads import TrainHeadsCommand


class DynExecCommand(BaseOptimumCLICommand):
    COMMAND = CommandInfo(name="dynexec", help="Train, attach and calibrate exit heads and draft heads.")
    SUBCOMMANDS = (
        CommandInfo("train-heads", "Train heads for an exported model.", TrainHeadsCommand),
        CommandInfo("attach-heads", "Put trained heads beside an exported model.", AttachHeadsCommand),
        CommandInfo("calibrate", "Find thresholds for early exit with a guarantee.", CalibrateCommand),
    )

    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(
            parser,
            "Heads predict tokens from a model's inner layers. They draft for it, which does not\n"
            "change its output, or, calibrated, answer in its place.\n\n"
            "First `optimum-cli export dynexec`, then train-heads; calibrate is for early exit.",
            STATUS,
        )
