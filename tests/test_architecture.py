"""Imports go one way: between folders only down, between files never in a circle."""

import re
from pathlib import Path

import pytest

from tests.architecture import LEVELS, PACKAGE, file_imports, folder_imports, knots, table, upward


ROOT = PACKAGE.parent
# Which folders of csrc may include headers of which others.
INCLUDES = {
    "kernels": set(),
    "runtime": {"kernels"},
    "encoder": {"kernels", "runtime"},
    "bindings": None,
    "tests": None,
}


@pytest.fixture(scope="module")
def imports():
    return file_imports()


def test_no_folder_imports_one_that_is_not_below_it(imports):
    assert upward(folder_imports(imports)) == []


def test_neither_folders_nor_files_import_each_other_in_a_circle(imports):
    assert knots(folder_imports(imports)) == []
    assert knots(imports) == []


@pytest.mark.parametrize("package", ["benchmarks", "examples"])
def test_programs_beside_the_package_have_no_circle(package):
    assert knots(file_imports(ROOT / package)) == []


def test_every_folder_has_its_place_in_the_order():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(LEVELS)


@pytest.mark.parametrize(
    "statement",
    [
        "from ..calibration import calibrate",
        "def late():\n    from ..calibration.main import calibrate",
        "import optimum_dynexec.calibration.main",
        "from .. import calibrate_decoder",
        'from ..utils.lazy import lazy_exports\nlazy_exports(__name__, {"..calibration.main": ["calibrate"]})',
    ],
)
def test_an_import_that_goes_up_is_found(tmp_path, statement):
    package = tmp_path / "optimum_dynexec"
    for name in ("", "calibration", "graph", "utils"):
        (package / name).mkdir(exist_ok=True)
        (package / name / "__init__.py").write_text("")
    (package / "__init__.py").write_text(
        'from .utils.lazy import lazy_exports\nlazy_exports(__name__, {"calibration": ["calibrate_decoder"]})\n'
    )
    (package / "calibration" / "main.py").write_text("from ..graph import masks\n")
    (package / "utils" / "lazy.py").write_text("")
    (package / "graph" / "masks.py").write_text("")
    assert upward(folder_imports(file_imports(package))) == []

    target = "__init__.py" if "lazy_exports" in statement else "masks.py"
    (package / "graph" / target).write_text(statement + "\n")
    found = folder_imports(file_imports(package))
    assert upward(found) == ["graph imports calibration, which is not below it"]
    assert knots(found) == [["calibration", "graph"]]


def test_imports_for_type_checkers_do_not_count(tmp_path):
    package = tmp_path / "optimum_dynexec"
    for name in ("", "calibration", "graph"):
        (package / name).mkdir()
        (package / name / "__init__.py").write_text("")
    (package / "graph" / "masks.py").write_text("if TYPE_CHECKING:\n    from ..calibration import calibrate\n")
    assert upward(folder_imports(file_imports(package))) == []


def test_the_documentation_shows_the_imports_as_they_are():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert table() in text, "paste the output of `python -m tests.architecture` into docs/architecture.md"


def test_headers_are_included_one_way():
    wrong = []
    headers: dict[str, set[str]] = {}
    for path in sorted((ROOT / "csrc").rglob("*.*")):
        if path.suffix not in (".h", ".cpp"):
            continue
        name = path.relative_to(ROOT / "csrc")
        included = set(re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE))
        headers[str(name)] = {other for other in included if path.suffix == ".h"}
        allowed = INCLUDES.get(name.parts[0])  # tests may include all of them
        others = {Path(other).parts[0] for other in included if "/" in other} - {name.parts[0]}
        if allowed is not None and not others <= allowed:
            wrong.append(f"{name} includes headers of {sorted(others - allowed)}")
    assert wrong == []
    assert knots(headers) == []
