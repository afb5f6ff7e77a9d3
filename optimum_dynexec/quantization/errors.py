"""What can go wrong when a model is quantized."""


class QuantizationError(ValueError):
    """A model that cannot be quantized as asked; the message says why and what to do."""
