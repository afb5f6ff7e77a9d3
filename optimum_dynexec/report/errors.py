"""What can be wrong with a report."""

from ..utils.installing import install_hint


class ReportError(ValueError):
    """Results that cannot be reported on."""


def not_installed(library: str) -> ReportError:
    """What is raised where a library of the extra `report` is missing."""
    return ReportError(f"a report needs {library}, which is not installed: {install_hint('report')}")
