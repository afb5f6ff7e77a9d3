"""`optimum-cli` in this process."""

import sys

import pytest

from optimum.commands import optimum_cli


@pytest.fixture
def run(monkeypatch, capsys):
    """`run(*arguments)`: exit status, stdout and stderr of `optimum-cli dynexec`, in this process."""

    def call(*arguments) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["optimum-cli", "dynexec", *map(str, arguments)])
        status = 0
        try:
            optimum_cli.main()
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
