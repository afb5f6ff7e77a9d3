"""Runs our subcommands of `optimum-cli`: their output and their exit status."""

import contextlib
import json
import logging
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import Any

from ..utils.quiet import without_known_messages


INTERRUPTED = 130
STATUS = """\
exit status:
  0    done
  1    an error, which the last line on stderr names
  2    wrong usage
  130  interrupted (Ctrl-C)
"""

# The outcome of a command: a dictionary for `--json`, and lines to print.
Outcome = tuple[dict[str, Any], list[str]]


def describe(parser: ArgumentParser, description: str, epilog: str = STATUS) -> None:
    """Adds a description of several paragraphs to a parser."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description, parser.epilog = description, epilog


def add_common_arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of all subcommands."""
    group = parser.add_argument_group("Output")
    group.add_argument("--json", action="store_true", help="Print only one JSON object with the outcome.")
    group.add_argument("--verbose", action="store_true", help="Show the traceback of an error, and more messages.")


def run_command(
    name: str,
    arguments: Namespace,
    command: Callable[[], Outcome],
    statuses: dict[str, int] | None = None,
    group: str = "dynexec",
) -> None:
    """
    Runs a subcommand. Messages and progress go to stderr, the outcome to stdout. Known messages of other libraries are
    suppressed, unless `verbose` is set.

    Args:
        name (`str`): name of the subcommand.
        arguments (`Namespace`): arguments, including `json` and `verbose`.
        command (`Callable[[], Outcome]`): function that imports what it needs and does the work.
        statuses (`dict[str, int]`, *optional*, defaults to `{}`): exit status by the name of an exception's class.
        group (`str`, *optional*, defaults to `"dynexec"`): group of `optimum-cli` that contains the subcommand.

    Raises:
        `SystemExit`: with a status other than 0, if the command failed.
    """
    if arguments.verbose:
        logging.getLogger("optimum_dynexec").setLevel(logging.INFO)
        logging.basicConfig(stream=sys.stderr)
    try:
        # Output of libraries must not mix with the outcome.
        with (
            contextlib.redirect_stdout(sys.stderr),
            contextlib.nullcontext() if arguments.verbose else without_known_messages(),
        ):
            values, lines = command()
    except KeyboardInterrupt:
        print(f"\noptimum-cli {group} {name}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if arguments.verbose:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"optimum-cli {group} {name}: error: {message}", file=sys.stderr)
        sys.exit((statuses or {}).get(type(error).__name__, 1))
    print(json.dumps(values, indent=2) if arguments.json else "\n".join(lines))
