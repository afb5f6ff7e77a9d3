"""The parsers of our commands, as `optimum-cli` makes them."""

import argparse
from collections.abc import Iterator


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """
    Returns:
        `dict[str, argparse.ArgumentParser]`: of `optimum-cli export dynexec`, `optimum-cli dynexec` and its
        subcommands, by these names.
    """
    from optimum.commands.export.base import ExportCommand
    from optimum.commands.optimum_cli import RootOptimumCLICommand, register_optimum_cli_subcommand

    from optimum_dynexec.commands.dynexec import DynExecCommand
    from optimum_dynexec.commands.export import DynExecExportCommand

    root = RootOptimumCLICommand("Optimum CLI tool", usage="optimum-cli")
    for command in (ExportCommand, DynExecCommand):
        register_optimum_cli_subcommand(command, parent_command=root)
    export = next(found for found in root.registered_subcommands if isinstance(found, ExportCommand))
    register_optimum_cli_subcommand(DynExecExportCommand, parent_command=export)
    ours = ("optimum-cli export dynexec", "optimum-cli dynexec")
    return {name: parser for name, parser in _all("optimum-cli", root.parser) if name.startswith(ours)}


def _all(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    parser.prog = name
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice, subparser in action.choices.items():
                yield from _all(f"{name} {choice}", subparser)
