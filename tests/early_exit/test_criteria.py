import json
import math
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from optimum_dynexec.early_exit import Criterion, ExitStatistics, criterion_names, load_criterion
from optimum_dynexec.early_exit.criteria import CRITERIA
from optimum_dynexec.early_exit.criteria.classifier import FEATURES, FORMAT_VERSION, ClassifierCriterion, features
from optimum_dynexec.early_exit.criteria.patience import run_lengths
from optimum_dynexec.early_exit.statistics import reference_statistics
from optimum_dynexec.native import _C
from optimum_dynexec.utils.atomic import write_atomically


LOGITS = np.random.default_rng(0).normal(0, 2, (40, 3, 11))


def statistics_of(logits: np.ndarray, **options) -> ExitStatistics:
    """With a certainty of exits that depends on nothing but their own logits."""
    statistics = reference_statistics(logits, **options)
    return replace(statistics, certainty=np.where(statistics.prediction < 0, np.nan, statistics.margin))


STATISTICS = statistics_of(LOGITS, position=np.arange(40))


def fitted() -> ClassifierCriterion:
    right = np.random.default_rng(1).random((40, 3)) < STATISTICS.max_prob
    return ClassifierCriterion.fit([2, 5, 8], STATISTICS, right)


def made(name: str) -> Criterion:
    return fitted() if name == "classifier" else load_criterion(name)


def test_names():
    assert criterion_names()[:2] == ["max_prob", "margin"]
    assert sorted(criterion_names()) == sorted(_C.criterion_names())  # Python and C++ have the same
    with pytest.raises(ValueError, match="`criterion` must be one of .*'margin'.* but it is 'mood'"):
        load_criterion("mood")


def test_scores_by_hand():
    """Of probabilities 0.7, 0.2 and 0.1."""
    statistics = reference_statistics(np.log([[[0.2, 0.7, 0.1]]]))
    assert statistics.prediction.tolist() == [[1]]
    assert load_criterion("max_prob").scores(statistics) == pytest.approx(0.7)
    assert load_criterion("margin").scores(statistics) == pytest.approx(0.5)
    entropy = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))
    assert load_criterion("entropy").scores(statistics) == pytest.approx(entropy)


def test_patience_counts_exits_that_agree():
    prediction = np.array([[4, 4, 4, 5, 5], [1, 2, 2, 2, 2], [1, -1, -1, 1, 1]])
    assert run_lengths(prediction).tolist() == [[0, 1, 2, 0, 1], [0, 0, 1, 2, 3], [0, 0, 0, 0, 1]]


def test_votes_need_not_be_in_a_row():
    prediction = np.array([[4, 5, 4, 4], [1, -1, 2, 1]])
    statistics = replace(statistics_of(np.zeros((2, 4, 6))), prediction=prediction)
    assert load_criterion("vote").scores(statistics).tolist() == [[1, 1, 2, 3], [1, 0, 1, 2]]


@pytest.mark.parametrize("name", ["learned", "settled"])
def test_exits_that_say_no_certainty(name):
    with pytest.raises(ValueError, match="certain"):
        load_criterion(name).scores(reference_statistics(LOGITS))


@pytest.mark.parametrize("name", list(CRITERIA))
def test_grid_goes_from_careful_to_daring(name):
    criterion = made(name)
    grid = criterion.grid(3)
    for threshold in grid:
        assert criterion.check_threshold(float(threshold)) == threshold
    scores = criterion.scores(STATISTICS)
    passing = np.array([criterion.passes(scores, threshold) for threshold in grid])
    assert not (passing[:-1] & ~passing[1:]).any()
    # C++ compares in float32 what float32 can hold.
    assert (grid.astype(np.float32).astype(np.float64) == grid).all()
    # At the most daring threshold, all leave who may.
    assert passing[-1].any()


@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_score_does_not_look_ahead(name):
    later = LOGITS.copy()
    later[:, 2] = later[::-1, 2]
    criterion = made(name)
    changed = criterion.scores(statistics_of(later, position=np.arange(40)))
    np.testing.assert_array_equal(changed[:, :2], criterion.scores(STATISTICS)[:, :2])


def test_thresholds_are_not_rounded_to_the_scores():
    """0.9 in float32 is a little less than 0.9; the engine compares in double."""
    score = np.array([np.float32(0.9), np.nextafter(np.float32(0.9), np.float32(1))])
    assert load_criterion("max_prob").passes(score, 0.9).tolist() == [False, True]


@pytest.mark.parametrize("name", list(CRITERIA))
def test_nothing_passes_never(name):
    criterion = made(name)
    scores = np.array([0.0, 1.0, 1e30, np.inf, -np.inf, np.nan])
    assert not criterion.passes(scores, criterion.never()).any()


@pytest.mark.parametrize("name", list(CRITERIA))
@pytest.mark.parametrize("row", [[np.nan, 1, 2], [np.inf, 0, 0], [-np.inf] * 3], ids=["nan", "inf", "nothing"])
def test_a_row_without_a_distribution_never_leaves(name, row):
    logits = np.zeros((2, 2, 3))
    logits[1, 1] = row
    criterion = ClassifierCriterion([0, 1], np.zeros((2, 6)), np.ones(2)) if name == "classifier" else made(name)
    statistics = statistics_of(logits)
    assert statistics.prediction[1, 1] == -1
    passing = criterion.passes(criterion.scores(statistics), criterion.grid(2)[-1])
    assert not passing[1, 1]
    assert passing[0, 1]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("max_prob", [0, 0.5, 1], [-0.1, 1.1, math.nan, math.inf, "0.5", None, True]),
        ("margin", [0, 1.0], [2, -1, math.nan]),
        ("entropy", [0, 0.5, 12], [-0.1, math.inf, math.nan, [1]]),
        ("patience", [1, 2.0, 7], [0, 1.5, -1, math.inf]),
        ("vote", [1, 2.0, 7], [0, 1.5, -1, math.inf]),
        ("classifier", [0, 1], [1.5, math.nan]),
        ("learned", [0, 1], [1.5, math.nan]),
        ("settled", [-1, 0.99, 1], [1.5, -2, math.nan]),
    ],
)
def test_thresholds_are_checked(name, good, bad):
    criterion = CRITERIA[name]
    for threshold in good:
        assert isinstance(criterion.check_threshold(threshold), float)
    for threshold in bad:
        with pytest.raises(ValueError, match=f"a threshold of the criterion '{name}' must be a .*number.*, but it is"):
            criterion.check_threshold(threshold)


# ---- statistics -----------------------------------------------------------------------------------------------------


def test_equal_to_the_kernel():
    """The engine decides by the C++ kernel's float32 statistics."""
    from optimum_dynexec.native import _C

    rows = np.random.default_rng(2).normal(0, 4, (50, 1000)).astype(np.float32)
    rows[0, 0], rows[1], rows[2, 3:] = np.nan, -np.inf, -np.inf
    reference = reference_statistics(rows[:, None])
    kernel = [_C.logits_stats(row) for row in rows]
    assert [stats.argmax for stats in kernel] == reference.prediction[:, 0].tolist()
    for name in ("max_prob", "margin", "entropy"):
        values = [getattr(stats, name) for stats in kernel]
        np.testing.assert_allclose(values, getattr(reference, name)[:, 0], rtol=1e-4, atol=1e-6)


def test_lowest_of_equals():
    statistics = reference_statistics(np.zeros((1, 1, 5)))
    assert statistics.prediction.tolist() == [[0]]
    assert statistics.margin.tolist() == [[0.0]]
    assert statistics.entropy == pytest.approx(math.log(5))


def test_one_word():
    statistics = reference_statistics(np.zeros((1, 1, 1)))
    assert (statistics.max_prob, statistics.margin, statistics.entropy) == (1.0, 1.0, 0.0)
    assert math.copysign(1, statistics.entropy[0, 0]) == 1


def test_words_are_tokens():
    """Heads may have vocabularies of their own, each its own."""
    logits = [np.array([[0.0, 3.0]]), np.array([[1.0, 0.0, 9.0]])]
    statistics = reference_statistics(logits, token_ids=[np.array([70, 80]), None])
    assert statistics.prediction.tolist() == [[80, 2]]


def test_shapes_are_checked():
    two = np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"`margin` must have the shape \(4, 2\), but it has \(4, 1\)"):
        ExitStatistics(two, two, two[:, :1], two)
    with pytest.raises(ValueError, match="`position` must have the shape"):
        ExitStatistics(two, two, two, two, np.arange(3))
    with pytest.raises(ValueError, match="`prediction` must have the shape"):
        ExitStatistics(two[0], two, two, two)
    assert ExitStatistics(two, two, two, two).position.tolist() == [0] * 4


# ---- the learned one ------------------------------------------------------------------------------------------------


def drawn(samples: int, seed: int) -> tuple[ExitStatistics, np.ndarray]:
    """Statistics and whether leaving is right, by a logistic law of them."""
    rng = np.random.default_rng(seed)
    statistics = reference_statistics(rng.normal(0, 3, (samples, 2, 7)), position=rng.integers(0, 500, samples))
    score = features(statistics) @ np.array([2.0, 1.0, -1.0, -0.2, 1.5, -0.3])
    return statistics, rng.random((samples, 2)) < 1 / (1 + np.exp(-score))


def test_classifier_learns_the_law():
    statistics, right = drawn(8000, seed=0)
    criterion = ClassifierCriterion.fit([1, 2], statistics, right)
    fresh, outcome = drawn(4000, seed=1)
    scores = criterion.scores(fresh)
    # As probabilities: among those of about a score, so many are right.
    for low in np.arange(0.1, 0.9, 0.2):
        chosen = (scores >= low) & (scores < low + 0.2)
        assert abs(outcome[chosen].mean() - scores[chosen].mean()) < 0.06


def test_classifier_solves_its_equations():
    """At the optimum, the residuals of a fit without penalty would be orthogonal to the features."""
    statistics, right = drawn(8000, seed=0)
    criterion = ClassifierCriterion.fit([1, 2], statistics, right)
    residuals = right - criterion.scores(statistics)
    assert np.abs(residuals.mean(axis=0)).max() < 1e-4
    assert np.abs(np.einsum("nef,ne->ef", features(statistics), residuals) / 8000).max() < 2e-3


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_classifier_of_one_outcome_stays_finite(value):
    criterion = ClassifierCriterion.fit([2, 5, 8], STATISTICS, np.full((40, 3), value))
    assert np.isfinite(criterion.weights).all()
    assert (np.abs(criterion.scores(STATISTICS) - value) < 0.05).all()


def test_classifier_leaves_out_what_has_no_distribution():
    logits = LOGITS.copy()
    logits[::2] = np.nan
    right = STATISTICS.max_prob > 0.5
    whole = ClassifierCriterion.fit([2, 5, 8], reference_statistics(logits), right)
    half = ClassifierCriterion.fit([2, 5, 8], reference_statistics(logits[1::2]), right[1::2])
    np.testing.assert_allclose(whole.weights, half.weights)
    with pytest.raises(ValueError, match="at least 1 sample"):
        ClassifierCriterion.fit([2, 5, 8], reference_statistics(np.full_like(LOGITS, np.nan)), right)


def test_classifier_round_trip(tmp_path):
    criterion = fitted()
    (tmp_path / ClassifierCriterion.file_name).write_bytes(criterion.content())
    loaded = load_criterion("classifier", tmp_path)
    assert loaded.layers == (2, 5, 8)
    np.testing.assert_array_equal(loaded.scores(STATISTICS), criterion.scores(STATISTICS))
    assert loaded.content() == criterion.content()


def test_classifier_is_read_again_only_when_it_has_changed(tmp_path):
    path = tmp_path / ClassifierCriterion.file_name
    first = fitted()
    path.write_bytes(first.content())
    assert load_criterion("classifier", tmp_path) is load_criterion("classifier", tmp_path)
    second = ClassifierCriterion(first.layers, first.weights * 2, first.bias)
    write_atomically(path, second.content())
    np.testing.assert_array_equal(load_criterion("classifier", tmp_path).weights, second.weights)


def test_classifier_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match="calibrate --criterion classifier"):
        load_criterion("classifier")
    with pytest.raises(ValueError, match=f"{tmp_path} lacks.*calibrate --criterion classifier"):
        load_criterion("classifier", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "pickle", "version", "shape", "nan", "no metadata"])
def test_damaged_classifier_is_refused(tmp_path, damage):
    path = tmp_path / ClassifierCriterion.file_name
    content = fitted().content()
    path.write_bytes(content)
    tensors = load_file(path)
    metadata = {"config": '{"format_version": 1, "layers": [2, 5, 8], "features": ["max_prob"]}'}
    if damage == "cut":
        path.write_bytes(content[:-5])
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04N.")
    elif damage == "version":
        save_file(tensors, path, metadata=metadata)
    elif damage == "no metadata":
        save_file(tensors, path)
    else:
        tensors["weights"] = tensors["weights"][:2] if damage == "shape" else np.full((3, 6), np.nan)
        text = json.dumps({"format_version": FORMAT_VERSION, "layers": [2, 5, 8], "features": FEATURES})
        save_file(tensors, path, metadata={"config": text})
    with pytest.raises(ValueError, match="exit_classifier.safetensors is not an exit classifier"):
        load_criterion("classifier", tmp_path)


def test_classifier_is_for_its_exits():
    with pytest.raises(ValueError, match=r"for the 3 exits after layers \[2, 5, 8\], but the statistics have 2"):
        fitted().scores(reference_statistics(LOGITS[:, :2]))
