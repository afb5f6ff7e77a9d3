"""Policies by themselves: which samples they name, and when."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from optimum_dynexec.diffusion import (
    AdaptiveGuidanceConfig,
    ConvergenceConfig,
    StepReuseConfig,
    UnsupportedSchedulerError,
)
from optimum_dynexec.diffusion.outputs import OutputHistory
from optimum_dynexec.diffusion.policies.adaptive_guidance import AdaptiveGuidance
from optimum_dynexec.diffusion.policies.base import Run
from optimum_dynexec.diffusion.policies.convergence import Convergence
from optimum_dynexec.diffusion.policies.step_reuse import StepReuse
from optimum_dynexec.diffusion.rows import select_rows


ALL = np.ones(2, dtype=bool)
RUN = Run(num_samples=2, num_steps=20)


def test_guidance_is_dropped_for_good_and_for_each_sample():
    policy = AdaptiveGuidance(AdaptiveGuidanceConfig(threshold=0.9), RUN)
    assert policy.unguided(0).tolist() == [False, False]
    up, right = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    policy.observe_guidance(np.array([0, 1]), torch.cat([up, up]), torch.cat([up, right]))
    assert policy.unguided(1).tolist() == [True, False]
    policy.observe_guidance(np.array([1]), up, 2 * up)
    assert policy.unguided(2).tolist() == [True, True]


def finished(policy: Convergence, first: float, second: float, ran: np.ndarray = ALL) -> list[bool]:
    """Told that the two samples are predicted to be so many times a fixed picture."""
    picture = torch.ones(2, 8) * torch.tensor([[first], [second]])
    return policy.finished(ran, picture, picture, lambda: picture).tolist()


def test_convergence_waits_for_its_patience():
    policy = Convergence(ConvergenceConfig(tolerance=0.1, patience=2, min_steps=1), RUN)
    assert finished(policy, 1.0, 1.0) == [False, False]
    assert finished(policy, 1.05, 1.5) == [False, False]
    assert finished(policy, 1.05, 1.55) == [True, False]
    assert finished(policy, 1.05, 2.0)[1] is False  # it has begun anew
    assert finished(policy, 1.05, 2.0)[1] is False
    assert finished(policy, 1.05, 2.0)[1] is True


def test_convergence_says_for_how_long_a_sample_had_settled():
    policy = Convergence(ConvergenceConfig(tolerance=0.1, patience=2, min_steps=1), RUN)
    for first in (1.0, 1.05, 1.5, 1.55, 2.0):
        assert finished(policy, first, 9 * first) == [False, False]
    assert re.search("for at most 1 steps in a row, and after the first 1 .* fewer than 2 ", policy.why_not())


def test_convergence_ends_nothing_of_a_schedule_that_ends_in_noise():
    policy = Convergence(ConvergenceConfig(tolerance=0.1, patience=1, min_steps=1), RUN)
    policy.schedule(complete=False)
    assert [finished(policy, 1.0, 1.0) for _ in range(4)] == [[False, False]] * 4
    assert "ends before all noise is removed" in policy.why_not()


def test_convergence_waits_for_its_first_steps():
    policy = Convergence(ConvergenceConfig(tolerance=0.1, patience=1, min_steps=4), RUN)
    assert [finished(policy, 1.0, 1.0)[0] for _ in range(5)] == [False, False, False, True, True]


def test_convergence_takes_no_evidence_from_reused_steps():
    policy = Convergence(ConvergenceConfig(tolerance=0.1, patience=2, min_steps=1), RUN)
    finished(policy, 1.0, 1.0)
    only_second = np.array([False, True])
    for _ in range(5):
        assert finished(policy, 1.0, 1.0, only_second)[0] is False
    # The sample is compared with what it was when the network last ran for it.
    assert finished(policy, 1.5, 1.0) == [False, True]


def test_third_order_reuse():
    policy = StepReuse(StepReuseConfig(threshold=0.01, max_consecutive=2, warmup=3), RUN)
    position = torch.zeros(2, 4)
    reused = []
    for step in range(8):
        reused.append(policy.reused(step).tolist())
        # The first sample changes by the same amount in every step, the second by one that is drawn.
        change = torch.tensor([[1.0], [[3.0, 1.0, 2.0, 9.0, 1.0, 7.0, 2.0, 5.0][step]]])
        policy.finished(~np.array(reused[-1]), position, position + change, position.clone)
        position = position + change
    assert reused == [[value, False] for value in [False, False, False, True, True, False, True, True]]


def test_interval_reuse():
    policy = StepReuse(StepReuseConfig(criterion="interval", interval=3, warmup=1), RUN)
    reused = []
    for step in range(8):
        reused.append(bool(policy.reused(step)[0]))
        policy.finished(~policy.reused(step), torch.zeros(2, 1), torch.ones(2, 1), lambda: torch.zeros(2, 1))
    assert reused == [False, True, True, False, True, True, False, True]


def test_history_extrapolates_each_sample():
    history = OutputHistory(order=1)
    history.record(False, np.array([0, 1]), 900.0, torch.tensor([[1.0], [5.0]]))
    history.record(False, np.array([0]), 800.0, torch.tensor([[2.0]]))
    history.record(True, np.array([0]), 800.0, torch.tensor([[7.0]]))
    assert history.extrapolate(False, 0, 700.0).tolist() == [pytest.approx(3.0)]
    assert history.extrapolate(False, 1, 700.0).tolist() == [5.0]  # one point: no slope
    assert history.extrapolate(True, 0, 700.0).tolist() == [7.0]
    # A timestep that is visited again: the newer output counts, and two points are left.
    history.record(False, np.array([0]), 800.0, torch.tensor([[4.0]]))
    assert history.extrapolate(False, 0, 700.0).tolist() == [pytest.approx(7.0)]


def test_rows_of_inputs():
    rows = np.array([True, False, True])
    batch, shared = torch.arange(3.0), torch.arange(9.0).reshape(3, 3)
    inputs = {
        "hidden_states": shared,
        "timestep": torch.tensor(5),
        "guidance": batch.numpy(),
        "img_ids": shared,
        "txt_ids": shared.unsqueeze(0).expand(3, 3, 3),
        "joint_attention_kwargs": {"scale": 1.0, "embeds": batch},
        "return_dict": False,
    }
    selected = select_rows(inputs, rows)
    assert selected["hidden_states"].tolist() == shared[[0, 2]].tolist()
    assert selected["guidance"].tolist() == [0, 2]
    assert selected["img_ids"] is shared
    assert selected["txt_ids"].shape == (2, 3, 3)
    assert selected["joint_attention_kwargs"]["embeds"].tolist() == [0, 2]
    assert selected["joint_attention_kwargs"]["scale"] == 1.0
    assert selected["timestep"] is inputs["timestep"]
    assert selected["return_dict"] is False


def test_unknown_scheduler():
    with pytest.raises(UnsupportedSchedulerError, match=r"early with SimpleNamespace.*DDIMScheduler.*from_config"):
        Convergence.check(ConvergenceConfig(), SimpleNamespace())
