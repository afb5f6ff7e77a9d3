"""Errors of adaptive denoising."""


class UnsupportedSchedulerError(ValueError):
    """With this scheduler, denoising cannot end before its last step."""


class NonFiniteOutputError(ArithmeticError):
    """The output of the network contains NaN or infinity."""
