"""
The guarantee by repetition on a model that writes text: data/smollm2_exits.safetensors holds what SmolLM2-135M and two
exits of it, behind the layers 9 and 19 of 30, say about the model's own answers to 400 prompts. It is made with
`record_smollm2_exits.py`.

The 400 texts are taken for all there are, so that the true risk of any thresholds is known; calibration gets texts
drawn from them.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from optimum_dynexec.calibration import CalibrationArguments, ExitRecords, NoThresholdError, calibrate
from optimum_dynexec.calibration.policy import run_policy
from optimum_dynexec.calibration.risks import token_disagreement


REPETITIONS = 200
TEXTS = 300
EPSILON, DELTA = 0.05, 0.1


@pytest.fixture(scope="module")
def everything() -> ExitRecords:
    path = Path(__file__).parent / "data" / "smollm2_exits.safetensors"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there: make it with record_smollm2_exits.py")
    return ExitRecords.load(path)


def risk_and_layers(calibrated, records: ExitRecords) -> tuple[float, float]:
    found, criterion = calibrated.calibration, calibrated.criterion
    thresholds = np.array([[found.thresholds.get(layer, criterion.never()) for layer in records.layers]])
    outcome = run_policy(records, criterion, thresholds, token_disagreement(records.predictions, None))
    return float(outcome.losses.mean()), float(outcome.mean_layers[0])


@pytest.mark.parametrize("method", ["hoeffding_bentkus", "wsr"])
@pytest.mark.parametrize("criterion", ["max_prob", "entropy", "classifier"])
def test_holds(everything, criterion, method):
    risks, layers = [], []
    for seed in range(REPETITIONS):
        drawn = np.random.default_rng(seed).integers(0, everything.num_groups, TEXTS)
        options = {"criterion": criterion, "method": method, "epsilon": EPSILON, "delta": DELTA}
        try:
            risk, run = risk_and_layers(
                calibrate(everything.select(drawn), CalibrationArguments(**options)), everything
            )
        except NoThresholdError:
            risk, run = 0.0, everything.num_layers
        risks.append(risk)
        layers.append(run)
    violations = int((np.array(risks) > EPSILON).sum())
    assert violations <= binom.ppf(0.999, REPETITIONS, DELTA)
    # Not vacuous.
    assert np.mean(layers) < 0.9 * everything.num_layers
    assert np.mean(risks) > EPSILON / 3


def test_halves(everything):
    """Thresholds of one half, tried on the other, whose own risk is off by chance too."""
    risks, errors = [], []
    for seed in range(REPETITIONS):
        first, second = everything.split(0.5, seed)
        risk, _ = risk_and_layers(
            calibrate(first, CalibrationArguments(method="wsr", epsilon=EPSILON, delta=DELTA)), second
        )
        risks.append(risk)
        errors.append(risk > EPSILON)
    assert sum(errors) <= binom.ppf(0.999, REPETITIONS, DELTA)
