"""Links of a page to other pages, files and headings."""

import re
from functools import cache
from pathlib import Path

from tests.docs.pages import FENCE, Page


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
ELSEWHERE = ("http://", "https://", "mailto:")


def problems(page: Page) -> list[str]:
    """What does not lead anywhere."""
    found = []
    for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", page.prose)):
        target = match.group(1)
        if target.startswith(ELSEWHERE):
            continue
        name, _, anchor = target.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        if name and not path.exists():
            found.append(f"{page.path.name}: there is no {target}")
        elif anchor and anchor not in (anchors(page.text) if not name else anchors_of(path)):
            found.append(f"{page.path.name}: {target} is no heading")
    return found


def anchors(text: str) -> set[str]:
    """What headings are called in links: the same on the site and in a repository's viewer."""
    headings = HEADING.findall(FENCE.sub("", text))
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings]
    slugs = [re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain]
    # The site joins hyphens that follow each other, the viewer does not: such headings cannot be linked to.
    return {slug for slug in slugs if "--" not in slug}


@cache
def anchors_of(path: Path) -> set[str]:
    return anchors(path.read_text(encoding="utf-8")) if path.suffix == ".md" else set()
