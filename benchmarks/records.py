"""Results as they come, one JSON object a line, so that a run that was cut off can go on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .systems import Generation


@dataclass(frozen=True)
class Key:
    """What a record is of."""

    system: str
    question_id: str
    repeat: int


class Records:
    """
    The records of one setting in a jsonl file, which may hold those of other settings too.

    Args:
        path (`Path`): the file; made when the first record comes.
        settings (`Mapping[str, Any]`): everything that a figure depends on. Records of others are left alone.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self.path = path
        text = json.dumps(settings, sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.generations: dict[Key, Generation] = {}
        self.others = 0
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)
        self.resumed = len(self.generations)

    def _read(self, line: str) -> None:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return  # cut off while it was written
        if row.pop("fingerprint", None) == self.fingerprint:
            key = Key(row.pop("system"), row.pop("question_id"), row.pop("repeat"))
            self.generations[key] = Generation(**row)
        else:
            self.others += 1

    def __contains__(self, key: Key) -> bool:
        return key in self.generations

    def add(self, key: Key, generation: Generation) -> None:
        """Keeps a record, on disk before it returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        row = {"fingerprint": self.fingerprint, **asdict(key), **asdict(generation)}
        with self.path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # after a line that was cut off
            file.write(json.dumps(row).encode() + b"\n")
        self.generations[key] = generation
