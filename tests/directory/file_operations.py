"""Everything that changes names in a file system, counted, watched or fatal."""

import os
from collections.abc import Callable
from pathlib import Path

import optimum_dynexec.directory.staging as staging


OPERATIONS = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "link", "symlink", "fsync", "chown", "chmod")


def intercept(monkeypatch, called: Callable[[], None]) -> None:
    """Has `called` run before and after each operation."""

    def around(function):
        def call(*arguments, **options):
            called()
            result = function(*arguments, **options)
            called()
            return result

        return call

    for name in OPERATIONS:
        monkeypatch.setattr(os, name, around(getattr(os, name)))
    monkeypatch.setattr(staging, "exchange", around(staging.exchange))


def content_of(directory: Path) -> dict[str, bytes] | None:
    """All files in a directory and below it, but for what is being written; `None` if there is no directory."""
    if not directory.is_dir():
        return None
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and ".dynexec-new" not in path.as_posix()
    }
