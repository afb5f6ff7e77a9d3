"""The site can be built, without a warning."""

import os
import subprocess
import sys

import pytest

from docs.hooks.parsers import command_parsers
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="pip install optimum-dynexec[docs]")
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(directory)]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert result.returncode == 0, result.stderr
    return directory


def test_pages_that_are_made(site):
    """README.md is the first page, with its links; every option of every command is in the reference."""
    first = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="performance/"' in first
    assert "docs/images" not in first
    commands = (site / "reference" / "cli" / "index.html").read_text(encoding="utf-8")
    for name, parser in command_parsers().items():
        assert name in commands
        for action in parser._actions:
            assert action.help == "==SUPPRESS==" or all(option in commands for option in action.option_strings)
    models = (site / "reference" / "models" / "index.html").read_text(encoding="utf-8")
    assert "max_cache_tokens" in models
    assert "[<code>" not in models
