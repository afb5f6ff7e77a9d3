"""Names of a package that are imported when they are first used (PEP 562)."""

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def lazy_exports(
    package: str,
    modules: Mapping[str, Iterable[str]],
    extra: Iterable[str] = (),
    moved: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """
    Makes the `__getattr__`, `__dir__` and `__all__` of a package whose names live in submodules.

    Args:
        package (`str`):
            `__name__` of the package.
        modules (`Mapping[str, Iterable[str]]`):
            For each submodule, the names that the package offers from it.
        extra (`Iterable[str]`, *optional*, defaults to `()`):
            Names that the package itself defines. They are listed too.
        moved (`Mapping[str, str]`, *optional*):
            Names that the package used to offer, each with the package that offers it now. They still work, with a
            `FutureWarning`. This library must not use them, because they can lead to packages above.

    Returns:
        `tuple`: the three values, in the order above.
    """
    home = {name: module for module, names in modules.items() for name in names}
    names = sorted({*home, *extra})

    def getattribute(name: str) -> object:
        if name in home:
            value = getattr(import_module(_below(home[name]), package), name)
        elif moved is not None and name in moved:
            warnings.warn(f"`{package}.{name}` has moved: import it from `{moved[name]}`", FutureWarning, stacklevel=2)
            return getattr(import_module(moved[name]), name)
        elif name in modules:
            value = import_module(f".{name}", package)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # Stored in the package, so that the next use does not call this function.
        setattr(sys.modules[package], name, value)
        return value

    def directory() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return getattribute, directory, names


def _below(module: str) -> str:
    """The relative name of a submodule. A name that starts with a dot is already relative."""
    return module if module.startswith(".") else f".{module}"
