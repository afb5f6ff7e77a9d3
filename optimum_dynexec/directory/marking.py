"""Writes the layer boundaries into a model's file, and reads them back.

They are entries in the model's `rt_info`, which OpenVINO keeps and otherwise ignores: `dynexec/hidden_states/<k>` is
the name of the node whose output is the hidden state after layer `k`. In the XML file only these entries change: the
rest is copied byte for byte. The weights do not change.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from ..utils.atomic import write_atomically
from .errors import ExportError


if TYPE_CHECKING:
    from openvino import Model


SECTION = "dynexec"


def mark_boundaries(xml_path: str | Path, names: list[str]) -> None:
    """
    Marks the layer boundaries in a model's XML file. The marks replace earlier ones.

    Args:
        xml_path (`str` or `Path`):
            Model's `.xml` file. It is replaced atomically.
        names (`list[str]`):
            Friendly names of the nodes after each layer. An empty list removes the marks.

    Raises:
        [`ExportError`]: if the file is not an OpenVINO model.
    """
    path = Path(xml_path)
    content = path.read_bytes()
    places = _find_places(content, path)
    if places.section is not None:
        start, end = places.section
        # With the line break and the indentation before it.
        start = len(content[:start].rstrip())
        content = content[:start] + content[end:]
        places = _find_places(content, path)
    if names:
        section = _section(names)
        if places.rt_info_end is None:
            section = f"\t<rt_info>\n{section}\t</rt_info>\n"
        at = places.net_end if places.rt_info_end is None else places.rt_info_end
        # At the start of the closing tag's line.
        at = len(content[:at].rstrip(b" \t"))
        content = content[:at] + section.encode() + content[at:]
    write_atomically(path, content)


def read_boundaries(model: "Model") -> list[str]:
    """
    Reads the marks of a model.

    Args:
        model (`openvino.Model`):
            Model that was read from its file.

    Returns:
        `list[str]`: the friendly names of the nodes after each layer; empty if the model has no marks.
    """
    names: list[str] = []
    while model.has_rt_info([SECTION, "hidden_states", str(len(names))]):
        names.append(model.get_rt_info([SECTION, "hidden_states", str(len(names))]).astype(str))
    return names


def _section(names: list[str]) -> str:
    # OpenVINO itself uses this form for an entry whose name cannot be a tag. Here it is a number.
    entries = "".join(f'\t\t\t\t<info name="{k}" value={quoteattr(name)} />\n' for k, name in enumerate(names))
    return f"\t\t<{SECTION}>\n\t\t\t<hidden_states>\n{entries}\t\t\t</hidden_states>\n\t\t</{SECTION}>\n"


class _Places:
    """Byte offsets of the closing tags of `<net>` and its own `<rt_info>`, and of the section to be replaced."""

    def __init__(self) -> None:
        self.net_end: int | None = None
        self.rt_info_end: int | None = None
        self.section: tuple[int, int] | None = None


def _find_places(content: bytes, path: Path) -> _Places:
    parser = expat.ParserCreate()
    places = _Places()
    open_tags: list[tuple[str, int]] = []

    def start(tag: str, _attributes: dict[str, str]) -> None:
        open_tags.append((tag, parser.CurrentByteIndex))

    def end(tag: str) -> None:
        _, begin = open_tags.pop()
        at = [name for name, _ in open_tags] + [tag]
        if at == ["net"]:
            places.net_end = parser.CurrentByteIndex
        elif at == ["net", "rt_info"] and content.startswith(b"</", parser.CurrentByteIndex):
            places.rt_info_end = parser.CurrentByteIndex
        elif at == ["net", "rt_info"]:
            # There is no place for entries in a self-closing element, so a new one replaces it.
            places.section = (begin, parser.CurrentByteIndex)
        elif at == ["net", "rt_info", SECTION]:
            places.section = (begin, content.index(b">", parser.CurrentByteIndex) + 1)

    def refuse(*_arguments: object) -> None:
        raise ExportError(f"{path} is not an OpenVINO model: it has a document type declaration")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ExportError(f"{path} is not an OpenVINO model: {error}") from error
    if places.net_end is None:
        raise ExportError(f"{path} is not an OpenVINO model: its root is not <net>")
    return places
