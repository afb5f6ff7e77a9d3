"""What to install for an optional part of the package."""

import shlex
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement


PACKAGE = "optimum-dynexec"


def install_hint(extra: str) -> str:
    """
    The command that installs what an extra of this package stands for. It names the packages themselves, as they come
    from an index even where this package came from a directory or a wheel.

    Args:
        extra (`str`): its name in pyproject.toml, such as `"report"`.

    Returns:
        `str`: `pip install "jinja2>=3.1" ...`.

    Raises:
        `ValueError`: if the installed package has no such extra.
    """
    try:
        requirements = [Requirement(line) for line in requires(PACKAGE) or []]
    except PackageNotFoundError:
        # Run from a directory that is not installed: the directory has the extras.
        return f"pip install -e '.[{extra}]' in the directory of {PACKAGE}"
    needed = [r for r in requirements if r.marker and r.marker.evaluate({"extra": extra})]
    needed = [r for r in needed if not (r.marker and r.marker.evaluate({"extra": ""}))]
    if not needed:
        raise ValueError(f"{PACKAGE} has no extra {extra!r}")
    return " ".join(["pip install", *(shlex.quote(f"{r.name}{r.specifier}") for r in needed)])
