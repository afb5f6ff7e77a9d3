"""What hints say to install comes from an index, wherever this package came from."""

import re
from pathlib import Path

import pytest

from optimum_dynexec.utils.installing import install_hint


ROOT = Path(__file__).parents[2]
tomllib = pytest.importorskip("tomllib")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_hint_names_what_the_extra_stands_for(extra):
    hint = install_hint(extra)
    assert hint.startswith("pip install ")
    assert "optimum-dynexec" not in hint
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in EXTRAS[extra]}
    assert {re.split(r"[<>=]", word.strip("'"))[0] for word in hint.split()[2:]} == names


def test_an_unknown_extra_is_an_error():
    with pytest.raises(ValueError, match="no extra 'nothing'"):
        install_hint("nothing")


def test_no_message_names_an_extra_of_a_package_that_no_index_has():
    pattern = re.compile(r"pip install [\"']?optimum-dynexec")
    files = [*(ROOT / "optimum_dynexec").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
    assert [str(path) for path in files if pattern.search(path.read_text())] == []
