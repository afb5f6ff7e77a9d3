"""What can go wrong with adaptive denoising."""


class UnsupportedSchedulerError(ValueError):
    """The scheduler does not let denoising end before its last step."""


class NonFiniteOutputError(ArithmeticError):
    """The network gave NaN or infinity."""
