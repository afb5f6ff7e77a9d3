"""The pages of the documentation, and the blocks of code on them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """
    A page.

    Args:
        path (`Path`): where it stands, or would stand.
        text (`str`): Markdown.
    """

    path: Path
    text: str

    @property
    def prose(self) -> str:
        """The text without blocks of code; lines keep their numbers."""
        return FENCE.sub(lambda match: "\n" * match.group().count("\n"), self.text)

    def blocks(self, *languages: str) -> Iterator[tuple[int, str]]:
        """The line and the content of each block of code in one of some languages."""
        for match in FENCE.finditer(self.text):
            if match.group(1) in languages:
                yield self.text.count("\n", 0, match.start()) + 1, match.group(2)


def all_pages() -> list[Page]:
    """README, changelog and documentation."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    paths += sorted((ROOT / "examples").rglob("README.md"))
    return [Page(path, path.read_text(encoding="utf-8")) for path in paths]
