"""What calibration reads of a tiny classifier."""

from pathlib import Path

import numpy as np

from optimum_dynexec import DynExecModelForSequenceClassification
from optimum_dynexec.calibration import ExitRecords
from optimum_dynexec.directory.freshness import hash_heads
from optimum_dynexec.early_exit.statistics import reference_statistics
from tests.modeling.test_encoder_exit import texts


# Random heads are wrong most of the time.
EPSILON = 0.9


def exit_records(directory: Path) -> ExitRecords:
    """Records of 300 random texts."""
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")
    said = model.exit_logits(**texts([8] * 300, seed=5))
    *layers, last = sorted(said)
    return ExitRecords(
        layers=tuple(layers),
        num_layers=last + 1,
        statistics=reference_statistics([said[layer]["logits"].numpy() for layer in layers]),
        full_prediction=said[last]["logits"].argmax(-1).numpy(),
        group_sizes=np.ones(300, np.int64),
        model_hash=model.dynexec_config.model_hash,
        head_hashes=hash_heads(directory, model.dynexec_config),
    )
