"""Arguments: what is taken, and what is said of the rest."""

import pytest

from optimum_dynexec import DynExecDiffusionConfig
from optimum_dynexec.diffusion import AdaptiveGuidanceConfig, ConvergenceConfig, StepReuseConfig
from optimum_dynexec.diffusion.config import POLICIES
from optimum_dynexec.diffusion.extrapolation import extrapolation_weights


def test_everything_is_off_by_default():
    assert DynExecDiffusionConfig().policies == {}
    assert DynExecDiffusionConfig.resolve(None).policies == {}


def test_forms_of_a_policy():
    expected = DynExecDiffusionConfig(
        adaptive_guidance=AdaptiveGuidanceConfig(), convergence=ConvergenceConfig(tolerance=0.5), step_reuse=None
    )
    given = {"adaptive_guidance": True, "convergence": {"tolerance": 0.5}, "step_reuse": False}
    assert DynExecDiffusionConfig.resolve(given) == expected
    assert DynExecDiffusionConfig(**given) == expected
    assert list(expected.policies) == ["adaptive_guidance", "convergence"]


def test_every_policy_is_a_field_with_defaults():
    assert list(DynExecDiffusionConfig(**dict.fromkeys(POLICIES, True)).policies) == list(POLICIES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"convergance": True}, "no field 'convergance'.*'convergence'"),
        ({"convergence": {"tol": 1}}, "`convergence` has no field 'tol'.*'tolerance'"),
        ({"convergence": 0.1}, "`convergence` must be a ConvergenceConfig, a dictionary"),
        ({"convergence": StepReuseConfig()}, "`convergence` must be a ConvergenceConfig"),
        ({"convergence": {"tolerance": -1}}, "`convergence.tolerance` must be a number at least 0, but it is -1"),
        ({"convergence": {"tolerance": float("nan")}}, "`convergence.tolerance`"),
        ({"convergence": {"patience": 0}}, "`convergence.patience` must be a whole number at least 1"),
        ({"convergence": {"patience": True}}, "`convergence.patience`"),
        ({"adaptive_guidance": {"threshold": 1.1}}, "`adaptive_guidance.threshold` must be a number from 0 to 1"),
        ({"step_reuse": {"criterion": "always"}}, "must be one of .*'interval', 'third_order'.*'always'"),
        ({"step_reuse": {"order": 4}}, "`step_reuse.order` must be a whole number from 0 to 3"),
        ({"step_reuse": {"max_consecutive": 0}}, "`step_reuse.max_consecutive`"),
        ("all", "`dynexec` must be a DynExecDiffusionConfig or a dictionary"),
    ],
)
def test_wrong_arguments(given, message):
    with pytest.raises(ValueError, match=message):
        DynExecDiffusionConfig.resolve(given)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_extrapolation_is_exact_for_polynomials_of_its_degree(degree):
    def value(t: float) -> float:
        return sum((k + 1) * (t / 100) ** k for k in range(degree + 1))

    nodes = [981.0, 940.0, 881.0, 861.0][: degree + 1]
    weights = extrapolation_weights(nodes, 801.0)
    assert sum(weights) == pytest.approx(1)
    assert sum(w * value(t) for w, t in zip(weights, nodes, strict=True)) == pytest.approx(value(801.0))
    # One degree more it is not.
    assert sum(w * t ** (degree + 1) for w, t in zip(weights, nodes, strict=True)) != pytest.approx(
        801.0 ** (degree + 1)
    )


@pytest.mark.parametrize("nodes", [[], [5.0, 5.0]])
def test_extrapolation_needs_different_points(nodes):
    with pytest.raises(ValueError, match="one or more different points"):
        extrapolation_weights(nodes, 1.0)
