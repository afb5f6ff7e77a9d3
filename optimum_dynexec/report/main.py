"""Writes reports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..utils.atomic import write_atomically
from .errors import ReportError
from .loading import check_results
from .page import render


HTML_NAME, MARKDOWN_NAME = "report.html", "report.md"


def write_report(results: Sequence[dict[str, Any]], output_directory: str | Path) -> list[Path]:
    """
    Writes results of benchmarks as one HTML page, which needs no other file, and as Markdown.

    Args:
        results (`Sequence[dict]`): results from [`~benchmark.run_benchmark`] or from its files.
        output_directory (`str` or `Path`):
            directory, created if it does not exist. `report.html` and `report.md` in it are replaced.

    Returns:
        `list[Path]`: the files that were written.

    Raises:
        [`~report.ReportError`]: if something is not a result, or a required library is missing.
    """
    if not results:
        raise ReportError("a report needs at least one result, but there are none")
    checked = [check_results(content, f"result {number}") for number, content in enumerate(results, 1)]
    # Both are made before anything is written.
    pages = {MARKDOWN_NAME: render(checked, "report.md.jinja"), HTML_NAME: render(checked, "report.html.jinja")}
    output_directory = Path(output_directory)
    if output_directory.exists() and not output_directory.is_dir():
        raise ReportError(f"`output_directory` must be a directory, but {output_directory} is a file")
    output_directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_atomically(output_directory / name, text.encode())
    return [output_directory / name for name in (HTML_NAME, MARKDOWN_NAME)]
