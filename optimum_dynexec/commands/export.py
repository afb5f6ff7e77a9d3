"""Defines the command line for `optimum-cli export dynexec`."""

from typing import TYPE_CHECKING

from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.openvino import parse_args_openvino


if TYPE_CHECKING:
    from argparse import ArgumentParser


class DynExecExportCommand(BaseOptimumCLICommand):
    COMMAND = CommandInfo(name="dynexec", help="Export PyTorch models to OpenVINO IR for input-dependent execution.")

    @staticmethod
    def parse_args(parser: "ArgumentParser"):
        return parse_args_openvino(parser)
