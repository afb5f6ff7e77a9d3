"""`python -m tests.serving.cli ...`: `optimum-cli dynexec ...` of this checkout, whatever else is installed."""

import sys

from docs.hooks.parsers import command_parsers


if __name__ == "__main__":
    arguments = command_parsers()["optimum-cli dynexec"].parse_args(sys.argv[1:])
    arguments.func(arguments).run()
