"""What can be wrong with a report."""


class ReportError(ValueError):
    """Results that cannot be reported on."""
