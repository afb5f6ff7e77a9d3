import pytest

from optimum_dynexec.utils.intervals import proportion_interval


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    # 19 of 20 is in many tables of Clopper-Pearson intervals; 0 of n is 1 - (alpha / 2)^(1/n).
    [(19, 20, (0.7513, 0.9987)), (0, 20, (0.0, 1 - 0.025**0.05)), (20, 20, (0.025**0.05, 1.0))],
)
def test_proportion_interval(successes, n, expected):
    assert proportion_interval(successes, n) == pytest.approx(expected, abs=1e-4)


def test_errors():
    with pytest.raises(ValueError, match="n"):
        proportion_interval(0, 0)
    with pytest.raises(ValueError, match="k|successes"):
        proportion_interval(3, 2)
