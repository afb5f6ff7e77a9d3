"""The steps that are done, in a file of the output directory."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.atomic import write_atomically
from .errors import OptimizeError


STATE_NAME = "optimize.json"
VERSION = 1


@dataclass
class State:
    """
    The steps that are done, with their results. A step is done for one key: a hash of its arguments and of the
    keys of the steps before it. With another key, it is done again, and so are all later steps.

    Args:
        path (`Path`): path of the file.
        steps (`dict[str, dict[str, Any]]`): steps by name, with `key`, `values`, `lines` and `seconds`.
    """

    path: Path
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> "State":
        """
        Reads the state of a directory; an empty one if there is none.

        Raises:
            [`OptimizeError`]: if the file is damaged, or was written by a later version.
        """
        path = directory / STATE_NAME
        if not path.is_file():
            return cls(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version, steps = content["version"], content["steps"]
        except (ValueError, KeyError, TypeError) as error:
            raise OptimizeError(f"{path} cannot be read ({error}): remove it to start again") from error
        if version != VERSION:
            raise OptimizeError(
                f"{path} has the version {version}, but this version of optimum-dynexec reads {VERSION}: remove it to"
                " start again"
            )
        return cls(path, steps)

    def done(self, name: str, key: str) -> dict[str, Any] | None:
        """The results of a step, if it is done for this key and its files still exist."""
        entry = self.steps.get(name)
        if entry is None or entry["key"] != key:
            return None
        present = all((self.path.parent / place).exists() for place in entry["values"].get("places", []))
        return entry if present else None

    def begin(self, name: str) -> None:
        """
        Records that a step and all later steps are no longer done: their files are about to be
        replaced, and must not count as theirs if the replacement is interrupted.
        """
        names = list(self.steps)
        if name in names:
            for later in names[names.index(name) :]:
                del self.steps[later]
            self._write()

    def finish(self, name: str, key: str, values: dict[str, Any], lines: list[str], seconds: float) -> None:
        """Records that a step is done."""
        self.steps[name] = {"key": key, "values": values, "lines": lines, "seconds": round(seconds, 1)}
        self._write()

    def _write(self) -> None:
        content = json.dumps({"version": VERSION, "steps": self.steps}, indent=2)
        write_atomically(self.path, content.encode() + b"\n")


def digest(content: object) -> str:
    """A hash of JSON values, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def hash_source(source: str) -> str | list[list[Any]]:
    """
    The identity of a model or a data file: the content of a file, the names, sizes and times of a directory's files,
    or the name.
    """
    path = Path(source)
    if os.path.isfile(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if os.path.isdir(path):
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return [[str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return source
