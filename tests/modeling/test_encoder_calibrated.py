"""A classifier whose thresholds calibration has found, from records of its exits to calls."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from optimum_dynexec import DynExecModelForSequenceClassification, EarlyExitConfig
from optimum_dynexec.calibration import CalibrationArguments, ExitRecords, calibrate
from optimum_dynexec.directory.errors import StaleCalibrationError
from optimum_dynexec.directory.freshness import save_calibration
from optimum_dynexec.early_exit.statistics import reference_statistics
from tests.calibrated_encoder import EPSILON, exit_records
from tests.encoder_heads import random_encoder_heads
from tests.modeling.test_encoder_exit import texts


@pytest.fixture(scope="module")
def directory(tiny_encoder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(tiny_encoder("bert"), directory)
    return directory


@pytest.fixture(scope="module")
def records(directory) -> ExitRecords:
    return exit_records(directory)


@pytest.mark.parametrize("criterion", ["max_prob", "vote", "classifier"])
def test_calibrated_calls(directory, records, criterion, tmp_path):
    found = calibrate(records, CalibrationArguments(criterion=criterion, epsilon=EPSILON, method="binomial"))
    copy = tmp_path / "model"
    shutil.copytree(directory, copy)
    save_calibration(found.calibration, found.criterion.content(), copy)
    model = DynExecModelForSequenceClassification.from_pretrained(copy, precision="exact", early_exit="calibrated")
    inputs = texts([8] * 64, seed=6)
    layers = model(**inputs).exit_layer.tolist()
    said = model.exit_logits(**inputs)
    statistics = reference_statistics([said[layer]["logits"].numpy() for layer in records.layers])
    thresholds = EarlyExitConfig(criterion, thresholds=found.calibration.thresholds).thresholds_for(records.layers)
    passes = found.criterion.passes(found.criterion.scores(statistics), np.array(thresholds))
    expected = [records.layers[int(np.argmax(row))] if row.any() else records.num_layers - 1 for row in passes]
    assert layers == expected
    # So much risk lets all leave at once by the other two.
    assert criterion != "max_prob" or len(set(expected)) > 1
    # It still holds for what is saved, and for no other heads.
    with torch.no_grad():
        assert model(**inputs, early_exit="calibrated").exit_layer.tolist() == layers
    heads = random_encoder_heads(copy, [1], tmp_path / "heads", seed=9)
    other = DynExecModelForSequenceClassification.from_pretrained(copy, precision="exact", heads=heads)
    with pytest.raises(StaleCalibrationError, match="other heads"):
        other(**inputs, early_exit="calibrated")


class Always:
    """Chooses one way in all calls, and keeps what it saw."""

    def __init__(self, first):
        self.first, self.seen = first, []

    def takes_first(self, size):
        return self.first

    def saw(self, size, first, seconds):
        self.seen.append((size, first, seconds))


def test_the_whole_model_runs_where_it_is_faster(directory, records, tmp_path):
    found = calibrate(records, CalibrationArguments(epsilon=EPSILON, method="binomial"))
    copy = shutil.copytree(directory, tmp_path / "model")
    save_calibration(found.calibration, None, copy)
    model = DynExecModelForSequenceClassification.from_pretrained(copy, precision="exact", early_exit="calibrated")
    inputs = texts([8, 5, 8, 3], seed=6)
    plain = model(**inputs, early_exit=None)
    model._faster = whole = Always(False)
    output = model(**inputs)
    torch.testing.assert_close(output.logits, plain.logits, rtol=1e-4, atol=1e-5)
    last = records.num_layers - 1
    assert output.exit_layer.tolist() == [last] * 4
    assert output.dynexec.exit_histogram == {**dict.fromkeys(records.layers, 0), last: 4}
    torch.testing.assert_close(output.confidence, plain.logits.softmax(-1).max(-1).values, rtol=1e-4, atol=1e-5)
    assert [(size, first) for size, first, _ in whole.seen] == [(32, False)]
    # Thresholds of the caller are asked for themselves.
    model(**inputs, early_exit=EarlyExitConfig(threshold=0.5))
    assert len(whole.seen) == 1
    model._faster = exits = Always(True)
    assert min(model(**inputs).exit_layer.tolist()) < last
    assert exits.seen[0][1]
    every = DynExecModelForSequenceClassification.from_pretrained(copy, early_exit="calibrated", measure=False)
    assert every._faster is None


def test_another_precision_is_said(directory, records, tmp_path, caplog):
    found = calibrate(
        replace(records, source={"precision": "exact"}), CalibrationArguments(epsilon=EPSILON, method="binomial")
    )
    copy = shutil.copytree(directory, tmp_path / "model")
    save_calibration(found.calibration, None, copy)
    DynExecModelForSequenceClassification.from_pretrained(copy, precision="exact", early_exit="calibrated")
    assert "precision" not in caplog.text
    DynExecModelForSequenceClassification.from_pretrained(copy, precision="fast", early_exit="calibrated")
    assert "found with the precision 'exact', but the model was loaded with 'fast'" in caplog.text


def test_records_keep_what_exits_say_of_themselves(records, tmp_path):
    certainty = np.random.default_rng(0).random(records.statistics.shape).astype(np.float32)
    said = replace(records, statistics=replace(records.statistics, certainty=certainty))
    said.save(tmp_path / "records.safetensors")
    again = ExitRecords.load(tmp_path / "records.safetensors")
    np.testing.assert_array_equal(again.statistics.certainty, certainty)
    found = calibrate(again, CalibrationArguments(criterion="learned", epsilon=EPSILON, method="binomial")).calibration
    assert found.criterion == "learned"
    with pytest.raises(ValueError, match="trained with `certainty=True`"):
        calibrate(records, CalibrationArguments(criterion="learned", epsilon=EPSILON))
