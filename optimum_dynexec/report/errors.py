"""Errors of reports."""

from ..utils.installing import install_hint


class ReportError(ValueError):
    """Results that cannot be reported on."""


def not_installed(library: str) -> ReportError:
    """The error for a missing library of the extra `report`."""
    return ReportError(f"a report needs {library}, which is not installed: {install_hint('report')}")
