"""The site can be built, without a warning."""

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module

import pytest

from docs.hooks.parsers import command_parsers
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="make venv")
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


class Prose(HTMLParser):
    """The text of a page, without blocks of code."""

    def __init__(self, html):
        super().__init__()
        self.pieces = []
        self.outside = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.outside += tag in ("pre", "script", "style")

    def handle_endtag(self, tag):
        self.outside -= tag in ("pre", "script", "style")

    def handle_data(self, data):
        if not self.outside:
            self.pieces.append(data)


def test_no_markup_is_left(site):
    """References in docstrings are links, and types have lost their Markdown marks."""
    pages = sorted(site.rglob("index.html"))
    assert len(pages) > 20
    raw = re.compile(r"`|\[~|\*\w+\*|\]\(|:::")
    left = [
        (page.parent.name, piece)
        for page in pages
        for piece in Prose(page.read_text(encoding="utf-8")).pieces
        if raw.search(piece)
    ]
    assert left == []
    preparation = (site / "reference" / "preparation" / "index.html").read_text(encoding="utf-8")
    assert re.search(
        r'<code><a [^>]*href="../methods/#optimum_dynexec.EarlyExitConfig"[^>]*>EarlyExitConfig</a> or str',
        preparation,
    )
    assert "[<code>" not in preparation


def test_public_classes_stand_in_the_reference_once():
    """Under the path that they are imported from. A package that the reference names is documented whole."""
    paths = [
        path
        for page in sorted((ROOT / "docs" / "reference").glob("*.md"))
        for path in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    owners = {path.rpartition(".")[0] for path in paths}
    documented = [getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in paths]
    assert len({id(item) for item in documented}) == len(documented)
    missing = [
        f"{owner}.{name}"
        for owner in sorted(owners)
        for name in import_module(owner).__all__
        for item in [getattr(import_module(owner), name)]
        if inspect.isclass(item) and not any(item is one for one in documented)
    ]
    assert missing == []
    private = [path for path in paths if path.rpartition(".")[2] not in import_module(path.rpartition(".")[0]).__all__]
    assert private == []
