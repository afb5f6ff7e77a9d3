"""Commands of a page: they are given to the parsers that they are for."""

import contextlib
import io
import re
import shlex
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from docs.hooks.parsers import command_parsers
from tests.docs.pages import ROOT, Page


OURS = ("optimum-cli dynexec", "optimum-cli export dynexec")
INLINE = re.compile(r"`(optimum-cli (?:export dynexec|dynexec)[^`]*)`", re.DOTALL)
EXTRA = re.compile(r"(?:optimum-dynexec|[\"' ]\.)\[([\w,]+)\]")


def problems(page: Page) -> list[str]:
    """What could not be run."""
    found = [
        f"{page.path.name}, line {line}: {problem}"
        for line, block in page.blocks("bash", "sh", "console")
        for command in lines_of(block)
        for problem in [problem_of(command)]
        if problem is not None
    ]
    for span in INLINE.findall(page.prose):
        found += [f"{page.path.name}: {problem}" for problem in [problem_of_mention(span)] if problem is not None]
    extras = {extra for listed in EXTRA.findall(page.text) for extra in listed.split(",")}
    return found + [f"{page.path.name}: there is no extra [{extra}]" for extra in sorted(extras - known_extras())]


def lines_of(block: str) -> list[list[str]]:
    """The words of each command of a block."""
    commands: list[list[str]] = [[]]
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if set(word) <= set("&|;"):
                commands.append([])
            else:
                commands[-1].append(word)
    return [words for words in commands if words]


def problem_of(words: list[str]) -> str | None:
    """What is wrong with a command; `None` if it is not one of those that are known, or right."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    text = " ".join(words)
    name = next((name for name in sorted(parsers(), key=len, reverse=True) if text.startswith(name)), None)
    if name is not None:
        return _parse(name, words[len(name.split()) :])
    if text.startswith(OURS):
        return f"there is no `{text}`"
    if words[:1] == ["make"]:
        missing = [word for word in words[1:] if "=" not in word and word not in make_targets()]
        return f"there is no `make {missing[0]}`" if missing else None
    if words[:2] == ["python", "-m"] and len(words) > 2:
        return _module(words[2], words[3:])
    if words[:1] == ["python"] and len(words) > 1 and words[1].endswith(".py"):
        script = ROOT / words[1]
        return _options(script, [script], words[2:]) if script.is_file() else f"there is no {words[1]}"
    return None


def problem_of_mention(span: str) -> str | None:
    """What is wrong with a command that is named in a sentence, and need not be complete."""
    words = span.split()
    name = next((name for name in sorted(parsers(), key=len, reverse=True) if " ".join(words).startswith(name)), None)
    if name is None or (name == OURS[0] and len(words) > 2 and not words[2].startswith("-")):
        return f"there is no `{span}`"
    known = {option for action in parsers()[name]._actions for option in action.option_strings}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"`{name}` has no {unknown[0]}" if unknown else None


@cache
def parsers():
    return command_parsers()


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def known_extras() -> set[str]:
    # Without tomllib, which Python 3.10 has not.
    section = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    return set(re.findall(r"^(\w+) = \[", section.partition("\n[")[0], re.MULTILINE))


def _parse(name: str, arguments: list[str]) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parsers()[name].parse_args(arguments)
    except SystemExit as end:
        return said.getvalue().strip().splitlines()[-1] if end.code else None
    return None


def _module(module: str, arguments: list[str]) -> str | None:
    path = ROOT.joinpath(*module.split("."))
    if path.with_suffix(".py").is_file():
        return _options(path, [path.with_suffix(".py")], arguments)
    if (path / "__main__.py").is_file():
        return _options(path, sorted(path.rglob("*.py")), arguments)
    if not (ROOT / module.split(".")[0]).exists() and find_spec(module.split(".")[0]) is not None:
        return None
    return f"there is no module {module}"


def _options(what: Path, files: list[Path], arguments: list[str]) -> str | None:
    """These have parsers of their own, which are made when they run. So their options are looked up in the source."""
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    options = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    unknown = [option for option in options if option != "--help" and f'"{option}"' not in source]
    return f"{what.relative_to(ROOT)} has no {unknown[0]}" if unknown else None
