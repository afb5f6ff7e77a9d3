"""Adds our commands to `optimum-cli`, which imports this file at every call, whatever the command."""

REGISTER_COMMANDS = []

try:
    from optimum.commands.export.base import ExportCommand

    from optimum_dynexec.commands.dynexec import DynExecCommand
    from optimum_dynexec.commands.export import DynExecExportCommand
except Exception as error:
    # An exception here would end optimum-cli for every other backend too, so a broken install only says so.
    import logging

    logging.getLogger(__name__).warning(
        "`optimum-cli export dynexec` is not available, nor is `optimum-cli dynexec`: %r", error
    )
else:
    REGISTER_COMMANDS.append((DynExecExportCommand, ExportCommand))
    REGISTER_COMMANDS.append(DynExecCommand)
