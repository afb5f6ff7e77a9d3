"""The packages to install for an optional part of this package."""

import shlex
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement


PACKAGE = "optimum-dynexec"


def install_hint(extra: str) -> str:
    """
    Gives the command that installs the packages of an extra. It names the packages themselves, because they come from
    an index even if this package was installed from a directory or a wheel.

    Args:
        extra (`str`): name of the extra in pyproject.toml, such as `"report"`.

    Returns:
        `str`: `pip install "jinja2>=3.1" ...`.

    Raises:
        `ValueError`: if the installed package has no such extra.
    """
    try:
        requirements = [Requirement(line) for line in requires(PACKAGE) or []]
    except PackageNotFoundError:
        # The package is not installed, but runs from its directory, which defines the extras.
        return f"pip install -e '.[{extra}]' in the directory of {PACKAGE}"
    needed = [r for r in requirements if r.marker and r.marker.evaluate({"extra": extra})]
    needed = [r for r in needed if not (r.marker and r.marker.evaluate({"extra": ""}))]
    if not needed:
        raise ValueError(f"{PACKAGE} has no extra {extra!r}")
    return " ".join(["pip install", *(shlex.quote(f"{r.name}{r.specifier}") for r in needed)])
