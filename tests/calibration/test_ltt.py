import numpy as np
import pytest

from optimum_dynexec.calibration import conformal_risk_control, learn_then_test
from optimum_dynexec.calibration.conformal import observations_for_conformal
from optimum_dynexec.calibration.ltt import bonferroni, fixed_sequence, holm


P = np.array([0.001, 0.04, 0.06, 0.0, 0.02])


def test_fixed_sequence_ends_at_the_first_that_is_kept():
    assert fixed_sequence(P, 0.05).tolist() == [True, True, False, False, False]
    assert fixed_sequence(P[2:], 0.05).tolist() == [False, False, False]


def test_bonferroni_and_holm():
    assert bonferroni(P, 0.05).tolist() == [True, False, False, True, False]
    assert holm(P, 0.05).tolist() == [True, False, False, True, False]
    assert holm(np.array([0.02, 0.001, 0.03]), 0.05).tolist() == [True, True, True]
    assert bonferroni(np.array([0.02, 0.001, 0.03]), 0.05).tolist() == [False, True, False]


def test_chooses_the_most_daring_that_holds():
    losses = np.zeros((4, 200))
    losses[2, :3], losses[3, :40] = 1, 1
    tested = learn_then_test(losses, 0.05, 0.05)
    assert tested.chosen == 2
    assert tested.rejected.tolist() == [True, True, True, False]
    assert tested.p_values.shape == (4,)


def test_none_holds():
    assert learn_then_test(np.zeros((3, 58)), 0.05, 0.05).chosen is None
    assert learn_then_test(np.ones((3, 200)), 0.05, 0.05).chosen is None


def test_conformal_counts_the_next_observation():
    assert conformal_risk_control(np.zeros((2, 18)), 0.05) is None
    assert conformal_risk_control(np.zeros((2, 19)), 0.05) == 1
    losses = np.zeros((3, 99))
    losses[1, :4], losses[2, :5] = 1, 1
    assert conformal_risk_control(losses, 0.05) == 1


def test_conformal_takes_the_largest_loss_so_far():
    losses = np.zeros((3, 99))
    losses[1, :10], losses[2, 10:12] = 1, 1
    assert conformal_risk_control(losses, 0.05) == 0


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.04])
def test_observations_for_conformal(mean):
    count = observations_for_conformal(mean, 0.05)
    assert (mean * count + 1) / (count + 1) <= 0.05 + 1e-9
    assert (mean * (count - 1) + 1) / count > 0.05
    assert observations_for_conformal(0.05, 0.05) is None
