"""What can be wrong with a report."""

NEEDS = "a report needs {0}, which is not installed: pip install optimum-dynexec[report]"


class ReportError(ValueError):
    """Results that cannot be reported on."""
