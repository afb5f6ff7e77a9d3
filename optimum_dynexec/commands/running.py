"""How our subcommands of `optimum-cli` run: what they print, where, and the status they end with."""

import contextlib
import json
import logging
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import Any


INTERRUPTED = 130
STATUS = """\
exit status:
  0    done
  1    an error, which the last line on stderr names
  2    wrong usage
  130  interrupted (Ctrl-C)
"""

# What a command gives: a dictionary for `--json`, and lines for people.
Outcome = tuple[dict[str, Any], list[str]]


def describe(parser: ArgumentParser, description: str, epilog: str = STATUS) -> None:
    """Gives a parser a text of several paragraphs."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description, parser.epilog = description, epilog


def add_common_arguments(parser: ArgumentParser) -> None:
    """Adds the arguments that all subcommands have."""
    group = parser.add_argument_group("Output")
    group.add_argument("--json", action="store_true", help="Print the outcome as one JSON object, and only it.")
    group.add_argument("--verbose", action="store_true", help="Show the traceback of an error, and more messages.")


def run_command(
    name: str,
    arguments: Namespace,
    command: Callable[[], Outcome],
    statuses: dict[str, int] | None = None,
    group: str = "dynexec",
) -> None:
    """
    Runs a subcommand. Messages and progress go to stderr, the outcome to stdout.

    Args:
        name (`str`): of the subcommand.
        arguments (`Namespace`): with `json` and `verbose`.
        command (`Callable[[], Outcome]`): imports what it needs and does the work.
        statuses (`dict[str, int]`, *optional*, defaults to none): exit status by the name of an exception's class.
        group (`str`, *optional*, defaults to `"dynexec"`): of `optimum-cli`, that the subcommand belongs to.

    Raises:
        `SystemExit`: with another status than 0, if it was not done.
    """
    if arguments.verbose:
        logging.getLogger("optimum_dynexec").setLevel(logging.INFO)
        logging.basicConfig(stream=sys.stderr)
    try:
        # What libraries print has no place among the outcome.
        with contextlib.redirect_stdout(sys.stderr):
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
