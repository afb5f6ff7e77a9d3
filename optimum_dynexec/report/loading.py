"""Reads and checks results."""

import json
from pathlib import Path
from typing import Any

from ..benchmark.main import FORMAT, FORMAT_VERSION
from .errors import ReportError


def load_results(path: str | Path) -> dict[str, Any]:
    """
    Reads the results of a benchmark.

    Args:
        path (`str` or `Path`): file written by `optimum-cli dynexec benchmark`.

    Raises:
        [`~report.ReportError`]: if the file does not exist or contains something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ReportError(f"{path} is not valid JSON: {error}") from error
    return check_results(content, str(path))


def check_results(content: object, name: str) -> dict[str, Any]:
    """
    Checks that something is results of a benchmark that this version can read.

    Args:
        content (`Any`): content to check.
        name (`str`): name of the content for messages.

    Raises:
        [`~report.ReportError`]: if it is not.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ReportError(f"{name} is not a result of `optimum-cli dynexec benchmark`: its `format` is not {FORMAT!r}")
    if content.get("format_version") != FORMAT_VERSION:
        raise ReportError(
            f"{name} has the `format_version` {content.get('format_version')!r}, but this version of optimum-dynexec"
            f" reads {FORMAT_VERSION}: measure again, or use the version that wrote it"
        )
    return content
