"""The predicted clean sample of each scheduler, where it is known."""

import diffusers
import pytest
import torch

from optimum_dynexec.diffusion.schedulers import CLEAN_SAMPLES, clean_sample_of, is_complete


STEPS = 10
# Those that take other predictions than noise, which all take.
PREDICTIONS = {
    "FlowMatchEulerDiscreteScheduler": ["flow"],
    "LCMScheduler": ["epsilon"],
    "DPMSolverMultistepScheduler": ["epsilon", "v_prediction", "sample", "flow_prediction"],
    "UniPCMultistepScheduler": ["epsilon", "v_prediction", "sample", "flow_prediction"],
    "PNDMScheduler": ["epsilon", "v_prediction"],
    "LMSDiscreteScheduler": ["epsilon", "v_prediction"],
    "EulerDiscreteScheduler": ["epsilon", "v_prediction"],
    "EulerAncestralDiscreteScheduler": ["epsilon", "v_prediction"],
    "HeunDiscreteScheduler": ["epsilon", "v_prediction", "sample"],
}
CASES = [
    (name, prediction)
    for name in CLEAN_SAMPLES
    for prediction in PREDICTIONS.get(name, ["epsilon", "v_prediction", "sample"])
]


def make(name: str, prediction: str):
    options = {"prediction_type": prediction} if prediction != "flow" else {}
    if prediction == "flow_prediction":
        options["use_flow_sigmas"] = True
    if name in (
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "HeunDiscreteScheduler",
        "LMSDiscreteScheduler",
    ):
        options["timestep_spacing"] = "leading"  # whole timesteps, of which the noise level is known exactly
    if name == "PNDMScheduler":
        options["skip_prk_steps"] = True
    if name in ("DDIMScheduler", "DDPMScheduler", "LCMScheduler"):
        options["clip_sample"] = False
    return getattr(diffusers, name)(**options)


def ideal_output(scheduler, prediction: str, clean: torch.Tensor, noise: torch.Tensor, sample, t, index: int):
    """What a network that knows the clean sample predicts for a noisy one."""
    if prediction == "sample":
        return clean
    if prediction in ("flow", "flow_prediction"):
        return noise - clean
    if prediction == "epsilon":
        return noise
    cumulative = scheduler.alphas_cumprod[int(t)]
    return cumulative.sqrt() * noise - (1 - cumulative).sqrt() * clean


@pytest.mark.parametrize(("name", "prediction"), CASES)
def test_a_network_that_knows_the_picture_predicts_it(name, prediction):
    """The noisy sample is made by the scheduler's own `add_noise`, which shares no formula with ours."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    scheduler = make(name, prediction)
    scheduler.set_timesteps(STEPS)
    t = scheduler.timesteps[4]
    if prediction == "flow":
        sample = scheduler.scale_noise(clean, t.expand(2), noise)
    elif prediction == "flow_prediction":
        sigma = scheduler.sigmas[4]
        sample = (1 - sigma) * clean + sigma * noise
    else:
        sample = scheduler.add_noise(clean, noise, t.expand(2) if t.ndim == 0 else t)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(4)
    output = ideal_output(scheduler, prediction, clean, noise, sample, t, 4)
    result = scheduler.step(output, t, sample, return_dict=False)
    found = clean_sample_of(scheduler)(scheduler, output, t, sample, result)
    torch.testing.assert_close(found, clean, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_it_is_what_the_scheduler_itself_says(name):
    """Some schedulers return their prediction, clipped if they clip."""
    generator = torch.Generator().manual_seed(0)
    scheduler = getattr(diffusers, name)()
    scheduler.set_timesteps(STEPS)
    sample = torch.randn(2, 4, 8, 8, generator=generator) * getattr(scheduler, "init_noise_sigma", 1.0)
    compared = 0
    for t in scheduler.timesteps[:-1]:
        output = torch.randn(2, 4, 8, 8, generator=generator)
        result = scheduler.step(output, t, sample, return_dict=True)
        found = clean_sample_of(scheduler)(scheduler, output, t, sample, (result.prev_sample,))
        if getattr(result, "pred_original_sample", None) is not None:
            torch.testing.assert_close(found, result.pred_original_sample, atol=1e-4, rtol=1e-3)
            compared += 1
        sample = result.prev_sample
    assert compared


def test_subclasses_are_known():
    class Own(diffusers.DDIMScheduler):
        pass

    assert clean_sample_of(Own()) is CLEAN_SAMPLES["DDIMScheduler"]


@pytest.mark.parametrize("name", CLEAN_SAMPLES)
@pytest.mark.parametrize("begin", [0, 2, 4])
def test_which_schedules_take_all_noise_away(name, begin):
    """Those that begin late do (image to image); those that stop one step before their end, or half-way, do not."""
    scheduler = make(name, "flow" if name == "FlowMatchEulerDiscreteScheduler" else "epsilon")
    scheduler.set_timesteps(STEPS)
    begin *= scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    t, count = scheduler.timesteps[begin], len(scheduler.timesteps) - begin
    sample = torch.zeros(1, 4, 8, 8)
    scheduler.step(sample, t, sample, return_dict=False)
    assert is_complete(scheduler, t, count)
    assert not is_complete(scheduler, t, count // 2)
    # PNDM's second step has the timestep of its third.
    if (name, begin) != ("PNDMScheduler", 2):
        assert not is_complete(scheduler, t, count - 1)


@pytest.mark.parametrize(("last", "complete"), [(0.0, True), (3.0, False)])
def test_noise_levels_that_are_given(last, complete):
    scheduler = make("EulerDiscreteScheduler", "epsilon")
    scheduler.set_timesteps(sigmas=[14.0, 7.0, last])
    sample = torch.zeros(1, 4, 8, 8)
    scheduler.step(sample, scheduler.timesteps[0], sample, return_dict=False)
    assert is_complete(scheduler, scheduler.timesteps[0], 2) is complete
