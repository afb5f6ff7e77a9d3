"""Makes what the site has beside the files of docs: the first page of README.md, and the reference of the commands."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs.hooks.parsers import command_parsers  # noqa: E402


LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
# How docstrings name things of the package: [`~heads.HeadConfig`]; and types: `int`, *optional*.
MENTION = re.compile(r"\[<code>~?([\w.]+)</code>\]")
TYPE = re.compile(r"<code>([^<]*`[^<]*)</code>")


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
    """Names and types in docstrings, without the marks around them."""
    if not page.file.src_path.startswith("reference/"):
        return html
    html = MENTION.sub(lambda match: f"<code>{match.group(1).rpartition('.')[2]}</code>", html)
    return TYPE.sub(lambda match: f"<code>{re.sub('[`*]', '', match.group(1))}</code>", html)


def command_reference() -> str:
    """What `--help` of each command says."""
    parts = ["# Commands\n\nWhat each command says to `--help`.\n"]
    for name, parser in command_parsers().items():
        parts.append(f"## {name}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n".join(parts)


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
