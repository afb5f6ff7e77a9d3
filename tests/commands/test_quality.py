"""What every subcommand has to do alike. Those that are registered later are tested too."""

import argparse
import builtins
import json
import sys
from contextlib import suppress
from typing import Any

import pytest

from optimum.commands import optimum_cli
from optimum_dynexec.commands.dynexec import DynExecCommand
from optimum_dynexec.commands.export import DynExecExportCommand
from optimum_dynexec.commands.running import run_command


COMMANDS = {
    **{("dynexec", info.name): info.subcommand_class for info in DynExecCommand.SUBCOMMANDS},
    ("export", "dynexec"): DynExecExportCommand,
}
pytestmark = pytest.mark.parametrize("command", COMMANDS, ids="-".join)
# Values to try for an argument that must be given; none of them is a file.
VALUES = ("nowhere", "a=nowhere", "1", "{}", 'a={"threshold": 1}')


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """`run(*arguments)`: exit status, stdout and stderr of `optimum-cli`, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["optimum-cli", *arguments])
        status: object = 0
        try:
            optimum_cli.main()
        except SystemExit as ended:
            status = 0 if ended.code is None else ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def actions_of(command: tuple[str, str]) -> list[argparse.Action]:
    parser = argparse.ArgumentParser()
    COMMANDS[command].parse_args(parser)
    return [action for action in parser._actions if action.dest != "help"]


def needed(command: tuple[str, str]) -> list[str]:
    """Arguments with which the command begins, though it cannot end well."""
    words = []
    for action in actions_of(command):
        if action.option_strings and action.required:
            words += [action.option_strings[-1], value_for(action)]
    positional = [
        action for action in actions_of(command) if not action.option_strings and action.nargs not in ("?", "*")
    ]
    return words + [value_for(action) for action in positional]


def value_for(action: argparse.Action) -> str:
    if action.choices:
        return str(next(iter(action.choices)))
    for value in VALUES:
        with suppress(ValueError, argparse.ArgumentTypeError):
            kind: Any = action.type or str
            kind(value)
            return value
    raise AssertionError(f"no value is known for {action}: add one to VALUES")


def test_help_explains(run, command):
    status, output, _ = run(*command, "--help")
    assert status == 0
    assert "exit status:" in output
    for number in ("0 ", "1 ", "2 ", "130 "):
        assert f"\n  {number}" in output
    actions = actions_of(command)
    assert {"json", "verbose"} <= {action.dest for action in actions}
    for action in actions:
        # Options of optimum-intel that have no text are its own affair.
        ours = command[0] == "dynexec" or action.help
        assert not ours or len(action.help) > 3, f"{action.dest} is not explained"
    description = output.split("positional arguments:")[0].split("options:")[0]
    assert len(description.split("]\n")[-1]) > 100, "the command is not explained"


def test_wrong_usage(run, command):
    status, output, error = run(*command, "--no-such-option", *needed(command))
    assert (status, output) == (2, "")
    assert "Traceback" not in error
    # Without what must be given.
    assert run(*command)[0] == 2


def test_errors_have_no_traceback_unless_asked_for(run, command, tmp_path):
    status, output, error = run(*command, *needed(command), "--json")
    assert (status, output) == (1, "")
    last = error.splitlines()[-1]
    assert last.startswith(f"optimum-cli {command[0]} {command[1]}: error: ")
    assert "nowhere" in last, "the message says what was wrong with what was given"
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Exception, match="nowhere"):
        run(*command, *needed(command), "--verbose")


def test_interrupt(run, command, tmp_path, monkeypatch):
    """Ctrl-C when the work begins, which is when a command imports what does it."""
    real, begun = builtins.__import__, []

    def interrupted(name, globals=None, locals=None, fromlist=(), level=0):
        caller = (globals or {}).get("__name__", "")
        working = caller.startswith("optimum_dynexec.commands.") and (
            level == 2 or name.startswith("optimum_dynexec.")
        )
        if working:
            begun.append(name)
            raise KeyboardInterrupt
        return real(name, globals, locals, fromlist, level)

    arguments = needed(command)
    # Whatever the command line itself imports is there already.
    run(*command, "--help")
    monkeypatch.setattr(builtins, "__import__", interrupted)
    status, output, error = run(*command, *arguments)
    monkeypatch.undo()
    assert begun
    assert (status, output) == (130, "")
    assert error.splitlines()[-1] == f"optimum-cli {command[0]} {command[1]}: interrupted"
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_json_is_all_that_is_printed(run, command, monkeypatch):
    def with_outcome(name, arguments, work, *rest, **options):
        def instead():
            print("what a library says")
            return {"done": True}, ["It is done."]

        assert callable(work)
        run_command(name, arguments, instead, *rest, **options)

    monkeypatch.setattr(sys.modules[COMMANDS[command].__module__], "run_command", with_outcome)
    status, output, error = run(*command, *needed(command), "--json")
    assert status == 0
    assert json.loads(output) == {"done": True}
    assert "what a library says" in error
    assert run(*command, *needed(command))[:2] == (0, "It is done.\n")
