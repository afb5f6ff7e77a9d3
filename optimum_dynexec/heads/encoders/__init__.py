"""Names that have moved to `optimum_dynexec.training` and `optimum_dynexec.data`."""

from ...utils.lazy import lazy_exports


__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {},
    moved={
        "Columns": "optimum_dynexec.data",
        "EncoderTrainingArguments": "optimum_dynexec.training",
        "Samples": "optimum_dynexec.data",
        "TrainedExit": "optimum_dynexec.training",
        "read_samples": "optimum_dynexec.data",
        "train_encoder_heads": "optimum_dynexec.training",
    },
)
