"""Generates the first page from README.md and the reference of the commands; docstrings' references become links."""

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs.hooks.parsers import command_parsers  # noqa: E402


LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
# Docstrings refer to objects of the package as [`~heads.HeadConfig`]. In prose, Markdown has turned the backticks into
# <code>; in the type of a parameter, such as "[`~heads.HeadConfig`] or `str`, *optional*", they are still there.
MENTION = re.compile(r"\[<code>~?([\w.]+)</code>\]")
MENTION_IN_TYPE = re.compile(r"\[`~?([\w.]+)`\]")
TYPE = re.compile(r"<code>([^<]*[`*][^<]*)</code>")
DOCUMENTED = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made."""
    made = {"index.md": (ROOT / "README.md").read_text(encoding="utf-8"), "reference/cli.md": command_reference()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to files of the repository that are no pages become their names."""
    folder = ROOT if page.file.src_path == "index.md" else (ROOT / "docs" / page.file.src_path).parent
    pieces = CODE.split(markdown)
    return "".join(piece if CODE.fullmatch(piece) else LINK.sub(lambda m: _link(m, folder), piece) for piece in pieces)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """References in docstrings become links, and types lose their Markdown marks."""
    html = MENTION.sub(lambda match: _reference(match.group(1), f"<code>{_short(match.group(1))}</code>"), html)
    return TYPE.sub(lambda match: f"<code>{_type(match.group(1))}</code>", html)


@cache
def documented() -> dict[str, str]:
    """
    Returns:
        `dict[str, str]`: the import path of each object in the reference, by its name.
    """
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs" / "reference").glob("*.md")))
    return {path.rpartition(".")[2]: path for path in DOCUMENTED.findall(text)}


def command_reference() -> str:
    """The output of `--help` for each command."""
    os.environ["COLUMNS"] = "92"  # what argparse breaks lines by
    parts = ["# Commands\n\nThis page shows the output of `--help` for each command.\n"]
    for name, parser in command_parsers().items():
        parts.append(f"## {name}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n".join(parts)


def _type(text: str) -> str:
    linked = MENTION_IN_TYPE.sub(lambda match: _reference(match.group(1), _short(match.group(1))), text)
    return re.sub(r"[`*]", "", linked)


def _short(name: str) -> str:
    """`Class` or `Class.method`, without the modules."""
    *_, owner, last = ["", *name.split(".")]
    return f"{owner}.{last}" if owner[:1].isupper() and owner in documented() else last


def _reference(name: str, html: str) -> str:
    """A link if the reference documents the object; otherwise its name."""
    short = _short(name)
    owner, dot, member = short.partition(".")
    if owner not in documented():
        return html
    return f'<autoref identifier="{documented()[owner]}{dot}{member}" optional>{html}</autoref>'


def _link(match: re.Match[str], folder: Path) -> str:
    image, text, target = match.groups()
    if re.match(r"[a-z]+:|#", target):
        return match.group()
    path, _, anchor = target.partition("#")
    full = (folder / path).resolve()
    inside = (ROOT / "docs") in full.parents
    if folder == ROOT and inside:
        return f"{image}[{text}]({full.relative_to(ROOT / 'docs').as_posix()}{'#' + anchor if anchor else ''})"
    if folder != ROOT and inside:
        return match.group()
    name = full.relative_to(ROOT).as_posix()
    return f"`{name}`" if text.rstrip("/") == name else f"{text} (`{name}`)"
