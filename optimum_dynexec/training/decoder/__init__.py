"""Draft heads and exit heads of decoders, trained on the model's own continuations."""
