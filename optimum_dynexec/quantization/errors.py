"""Errors of quantization."""


class QuantizationError(ValueError):
    """The model cannot be quantized as requested. The message says why and what to do."""
