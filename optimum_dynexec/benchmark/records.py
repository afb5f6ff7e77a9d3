"""Records of the runs, one JSON object per line, so that an interrupted benchmark can resume."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar


Value = TypeVar("Value")


@dataclass(frozen=True)
class Key:
    """
    The key of a record.

    Args:
        system (`str`): name of the system that was measured.
        item (`str`): item of the data, for example a question.
        repeat (`int`): number of the repeat, from 0.
    """

    system: str
    item: str
    repeat: int


class Records(Generic[Value]):
    """
    The records of one setting in a `.jsonl` file, which may also hold records of other settings.

    Args:
        path (`Path`, *optional*):
            File of the records. It is created with the first record. If not set, records are only kept in memory.
        settings (`Mapping[str, Any]`):
            Everything that a figure depends on. Records of other settings are ignored and kept.
        make (`Callable`): function that makes a value from its fields: a dataclass, or `dict`.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], make: Callable[..., Value]):
        self.path = path
        text = json.dumps(settings, sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.values: dict[Key, Value] = {}
        self.others = 0
        self._repeats: dict[tuple[str, str], set[int]] = {}
        self._make = make
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)
        self.resumed = len(self.values)

    def _read(self, line: str) -> None:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return  # the process ended while it wrote this line
        if row.pop("fingerprint", None) == self.fingerprint:
            key = Key(row.pop("system"), row.pop("item"), row.pop("repeat"))
            self._keep(key, self._make(**row))
        else:
            self.others += 1

    def __contains__(self, key: Key) -> bool:
        return key in self.values

    def runs(self, system: str, item: str) -> list[Value]:
        """All repeats of one item, in order."""
        repeats = self._repeats.get((system, item), set())
        return [self.values[Key(system, item, repeat)] for repeat in sorted(repeats)]

    def add(self, key: Key, value: Value) -> None:
        """Keeps a record, and appends it to the file before it returns."""
        if self.path is not None:
            fields: Any = asdict(value) if is_dataclass(value) else value  # type: ignore[arg-type]
            self._append({"fingerprint": self.fingerprint, **asdict(key), **fields})
        self._keep(key, value)

    def _keep(self, key: Key, value: Value) -> None:
        self.values[key] = value
        self._repeats.setdefault((key.system, key.item), set()).add(key.repeat)

    def _append(self, row: dict[str, Any]) -> None:
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # the last line is incomplete
            file.write(json.dumps(row).encode() + b"\n")
