"""What a page that stands by itself must be."""

import re
from html.parser import HTMLParser


VOID = {"meta", "br", "img", "link", "hr", "input"}
# Attributes whose value a browser fetches.
FETCHED = {"src", "href", "xlink:href", "srcset", "data", "action", "poster", "background"}


class Page(HTMLParser):
    """
    Reads a page.

    Attributes:
        problems (`list[str]`): what is wrong with it.
        tables (`list[list[list[str]]]`): the texts in the cells of the rows of each table.
        svg_texts (`list[str]`): what is written in drawings.
    """

    def __init__(self, text: str):
        super().__init__()
        self.problems: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.svg_texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]
        self.problems += [f"fetches {found}" for found in re.findall(r"(?:@import|url\((?!['\"]?#)[^)]*\))", text)]

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        if tag in ("script", "iframe", "object", "embed", "link"):
            self.problems.append(f"has a <{tag}>")
        for name, value in attrs:
            if name in FETCHED and not (value or "").startswith(("#", "data:")):
                self.problems.append(f"<{tag} {name}={value!r}> is fetched from elsewhere")
            if name.startswith("on"):
                self.problems.append(f"<{tag} {name}> is a script")

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data):
        if self._open and self._open[-1] == "text" and "svg" in self._open:
            self.svg_texts.append(data.strip())
        elif {"td", "th"} & {*self._open}:
            self.tables[-1][-1][-1] += data
