"""The package as others get it: built, installed into an environment of its own, and used from there."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REGISTRATION = "optimum/commands/register/register_dynexec.py"
SOURCES = ["pyproject.toml", "setup.py", "CMakeLists.txt", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"]
SOURCES += ["constraints.txt", "csrc", "optimum", "optimum_dynexec", "tests", ".gitignore"]
# Where the packages of this environment are, our own aside.
PACKAGES = Path(find_spec("openvino").origin).parents[1]
# Stands for the extension where compiling all of it once more would show nothing new.
STUB = """
#include <openvino/openvino.hpp>
#include <pybind11/pybind11.h>
PYBIND11_MODULE(_C, m) { m.def("version", [] { return std::string(ov::get_openvino_version().buildNumber); }); }
"""


def run(*command, **options) -> subprocess.CompletedProcess:
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def build(*arguments) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", *arguments)


class Environment:
    """
    A fresh environment that sees the packages of this one, but not this project's install: a line in a .pth file adds
    a directory to the path without reading the .pth files in there, which is what an editable install consists of.
    """

    def __init__(self, directory: Path):
        run(sys.executable, "-m", "venv", "--without-pip", directory)
        self.python = directory / "bin" / "python"
        (self.packages,) = directory.glob("lib/python*/site-packages")
        (self.packages / "zz_borrowed.pth").write_text(f"{PACKAGES}\n")
        # Not the project's root, from which Python would take the packages.
        self.away = directory

    def install(self, *arguments) -> None:
        run(
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.python,
            "install",
            "--no-deps",
            "--no-index",
            "-q",
            *arguments,
        )

    def run(self, *arguments) -> subprocess.CompletedProcess:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return run(self.python, *arguments, cwd=self.away, env=environment)

    def optimum_cli(self, *arguments) -> subprocess.CompletedProcess:
        return self.run("-m", "optimum.commands.optimum_cli", *arguments)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A clean copy of the sources."""
    copy = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "build")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignore)
        else:
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("sdist")
    build("--sdist", "-o", directory, source)
    (path,) = directory.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """A wheel built of nothing but the sdist."""
    unpacked, directory = tmp_path_factory.mktemp("unpacked"), tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (project,) = unpacked.iterdir()
    build("--wheel", "-o", directory, project)
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    return environment


@pytest.fixture(scope="module")
def editable(source, tmp_path_factory) -> Environment:
    project = shutil.copytree(source, tmp_path_factory.mktemp("project") / "project")
    shutil.rmtree(project / "csrc")
    (project / "csrc" / "bindings").mkdir(parents=True)
    (project / "csrc" / "bindings" / "module.cpp").write_text(STUB)
    environment = Environment(tmp_path_factory.mktemp("editable"))
    environment.install("--no-build-isolation", "-e", project)
    return environment


def test_sdist_holds_the_sources(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").rglob("*.[ch]*") if path.is_file()}
    wanted |= {*SOURCES, REGISTRATION, "tests/conftest.py", "optimum_dynexec/py.typed"} - {".gitignore"}
    assert wanted <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_wheel_holds_the_package_and_nothing_of_optimums(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if name.startswith("optimum/")] == [REGISTRATION]
    assert not [name for name in names if name.startswith(("tests", "csrc"))]
    assert len([name for name in names if name.startswith("optimum_dynexec/_C.") and name.endswith(".so")]) == 1
    package = ROOT / "optimum_dynexec"
    modules = {path.relative_to(ROOT).as_posix() for kind in ("*.py", "*.jinja") for path in package.rglob(kind)}
    assert modules <= set(names)


@pytest.fixture(params=["installed", "editable"])
def environment(request) -> Environment:
    return request.getfixturevalue(request.param)


def test_imports_the_package_under_test(environment):
    origin = Path(environment.run("-c", "import optimum_dynexec; print(optimum_dynexec.__file__)").stdout)
    assert environment.packages in origin.parents or origin.parts[-3] == "project"


def test_extension_loads(environment):
    environment.run("-c", "import openvino; from optimum_dynexec import _C")


def test_extension_finds_openvino_beside_it(installed):
    """Without openvino imported first, by its RPATH."""
    # The borrowed packages are elsewhere, so a link stands for the neighbour it would have.
    (installed.packages / "openvino").symlink_to(PACKAGES / "openvino")
    try:
        program = (
            "import importlib.util as u; s = u.find_spec('optimum_dynexec._C'); import ctypes; ctypes.CDLL(s.origin)"
        )
        installed.run("-c", program)
    finally:
        (installed.packages / "openvino").unlink()


def test_import_is_fast_and_loads_no_framework(environment):
    program = (
        "import sys, time; start = time.perf_counter(); import optimum_dynexec; took = time.perf_counter() - start;"
        "assert not {'torch', 'transformers', 'openvino'} & set(sys.modules), sorted(sys.modules); print(took)"
    )
    assert min(float(environment.run("-c", program).stdout) for _ in range(3)) < 0.3


def test_command_is_registered(environment):
    assert "--exit-layers" in environment.optimum_cli("export", "dynexec", "--help").stdout
    listed = environment.optimum_cli("export", "--help").stdout
    assert "dynexec" in listed
    assert "openvino" in listed


def test_command_line_loads_no_framework(environment):
    program = (
        "import sys; from optimum.commands import optimum_cli; sys.argv[1:] = ['export', '--help']\n"
        "try: optimum_cli.main()\n"
        "except SystemExit: print(*{'torch', 'transformers', 'openvino'} & set(sys.modules), file=sys.stderr)"
    )
    assert environment.run("-c", program).stderr.split() == []


@pytest.mark.parametrize(
    "broken", ["no extension", "no commands", "a syntax error", "an exception", "only the registration"]
)
def test_broken_install_leaves_optimum_cli_to_others(wheel, tmp_path, broken):
    environment = Environment(tmp_path / "environment")
    environment.install(wheel)
    package = environment.packages / "optimum_dynexec"
    if broken == "no extension":
        next(package.glob("_C.*.so")).unlink()
    elif broken == "no commands":
        (package / "commands" / "export.py").unlink()
    elif broken == "a syntax error":
        (package / "commands" / "export.py").write_text("def (")
    elif broken == "an exception":
        (package / "__init__.py").write_text("raise RuntimeError('half an update')")
    else:
        shutil.rmtree(package)
    result = environment.optimum_cli("export", "openvino", "--help")
    assert "--weight-format" in result.stdout
    if broken != "no extension":
        assert "`optimum-cli export dynexec` is not available" in result.stderr
        assert "Traceback" not in result.stderr
