"""Whole pipelines: equal to optimum-intel's with everything off, and right with each policy on."""

import functools
import re
from concurrent.futures import ThreadPoolExecutor

import diffusers
import numpy as np
import pytest
import torch
from diffusers.callbacks import SD3CFGCutoffCallback, SDCFGCutoffCallback, SDXLCFGCutoffCallback
from optimum.intel import OVDiffusionPipeline, OVPipelineForImage2Image, OVPipelineForInpainting

from optimum_dynexec import (
    DynExecDiffusionPipeline,
    DynExecPipelineForImage2Image,
    DynExecPipelineForInpainting,
    DynExecPipelineForText2Image,
)
from optimum_dynexec.diffusion import NonFiniteOutputError, UnsupportedSchedulerError, session
from optimum_dynexec.diffusion.policies.convergence import Convergence
from optimum_dynexec.diffusion.rows import select_rows
from tests.diffusion.calls import PROMPTS, assert_equal_pictures, call, generators


FAMILIES = ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux", "sana", "latent-consistency"]
GUIDED = [name for name in FAMILIES if name not in ("flux", "latent-consistency")]
# On, but without an effect: everything goes through the policies, and nothing comes of it.
NEVER = {
    "adaptive_guidance": {"threshold": 1.0},
    "convergence": {"tolerance": 0.0},
    "step_reuse": {"threshold": 0.0},
}
AT_ONCE = {"tolerance": 1e9, "patience": 1, "min_steps": 1}


@pytest.fixture(autouse=True)
def no_equal_halves(monkeypatch):
    """A random network may give the very same output with and without a prompt, whose cosine is 1."""
    from optimum_dynexec.diffusion.policies import adaptive_guidance

    kernel = adaptive_guidance.cosines
    monkeypatch.setattr(adaptive_guidance, "cosines", lambda x, y: np.minimum(kernel(x, y), 1 - 1e-9))


def pictures_for_editing() -> dict:
    generator = np.random.default_rng(0)
    mask = np.zeros((16, 16, 1), np.float32)
    mask[:, 8:] = 1
    return {"image": generator.random((16, 16, 3), np.float32), "mask_image": mask}


@pytest.mark.parametrize("name", FAMILIES)
def test_everything_off_gives_optimum_intels_pictures(load, name):
    expected = call(load(name, OVDiffusionPipeline), name, 2).images
    output = call(load(name), name, 2)
    assert_equal_pictures(output.images, expected)
    stats = output.dynexec
    assert (stats.steps_planned, stats.steps_run, stats.steps_reused) == (4, [4, 4], [0, 0])
    assert stats.network_calls == 4
    assert stats.network_rows == (16 if name in GUIDED else 8)
    assert stats.stopped_at == stats.guidance_dropped_at == [None, None]
    assert stats.steps_predicted is None
    assert {"text_encoder", "network", "scheduler", "vae_decoder", "total"} <= set(stats.seconds)
    assert sum(seconds for phase, seconds in stats.seconds.items() if phase != "total") <= stats.seconds["total"]
    assert "network calls 4" in str(stats)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("count", [1, 7])
def test_policies_that_find_nothing_change_nothing(load, name, count):
    pipeline = load(name)
    expected = call(pipeline, name, count).images
    output = call(pipeline, name, count, dynexec=NEVER)
    assert_equal_pictures(output.images, expected, 1e-5)
    assert output.dynexec.steps_run == [4] * count
    assert output.dynexec.seconds["policies"] > 0


@pytest.mark.parametrize(
    ("name", "cutoff"),
    [
        ("stable-diffusion", SDCFGCutoffCallback),
        ("stable-diffusion-xl", SDXLCFGCutoffCallback),
        ("stable-diffusion-3", SD3CFGCutoffCallback),
    ],
)
def test_dropped_guidance_is_what_diffusers_cutoff_gives(load, name, cutoff):
    """diffusers ends guidance at a step that the caller chooses. An independent implementation of the same."""
    pipeline = load(name)
    at = cutoff(cutoff_step_ratio=None, cutoff_step_index=0)
    expected = call(pipeline, name, callback_on_step_end=at).images
    output = call(pipeline, name, dynexec={"adaptive_guidance": {"threshold": 0.0}})
    assert output.dynexec.guidance_dropped_at == [1]
    assert output.dynexec.network_rows == 2 + 3
    assert_equal_pictures(output.images, expected, 1e-4)
    # Guidance is no matter of rounding here.
    assert np.abs(expected - call(pipeline, name).images).max() > 1e-4


def test_guidance_is_dropped_for_one_sample_alone(load, monkeypatch):
    pipeline = load("stable-diffusion")
    from optimum_dynexec.diffusion.policies import adaptive_guidance

    on = call(pipeline, "stable-diffusion", 2).images
    off = call(pipeline, "stable-diffusion", 2, dynexec={"adaptive_guidance": {"threshold": 0}}).images
    monkeypatch.setattr(adaptive_guidance, "cosines", lambda x, y: np.arange(len(x)) * 1.0)
    output = call(pipeline, "stable-diffusion", 2, dynexec={"adaptive_guidance": True})
    assert output.dynexec.guidance_dropped_at == [None, 1]
    assert output.dynexec.network_rows == 4 + 3 * 3
    assert_equal_pictures(output.images, np.stack([on[0], off[1]]), 1e-4)


def test_guidance_in_two_calls(load):
    """Flux calls its transformer a second time for the negative prompt."""
    pipeline = load("flux")
    options = {"negative_prompt": ["bad"] * 2, "true_cfg_scale": 4.0}
    expected = call(pipeline, "flux", 2, **options)
    assert expected.dynexec.network_calls == 8
    assert_equal_pictures(call(pipeline, "flux", 2, dynexec=NEVER, **options).images, expected.images, 1e-5)
    output = call(pipeline, "flux", 2, dynexec={"adaptive_guidance": {"threshold": 0.0}}, **options)
    assert output.dynexec.guidance_dropped_at == [1, 1]
    assert output.dynexec.network_calls == 8 - 3
    assert np.abs(output.images - expected.images).max() > 1e-5


def ddim_by_hand(pipeline, steps: int, output_at) -> torch.Tensor:
    """Denoises the first two prompts without guidance, with `output_at(step, t, network)` as the network's output."""
    embeds, _ = pipeline.encode_prompt(PROMPTS[:2], "cpu", 1, False)
    scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    latents = torch.cat([torch.randn(1, 4, 8, 8, generator=generator) for generator in generators(2)])
    for step, t in enumerate(scheduler.timesteps):

        def network(latents=latents, t=t):
            return torch.from_numpy(
                pipeline.unet.request({"sample": latents, "timestep": t, "encoder_hidden_states": embeds})[0].copy()
            )

        output = output_at(step, float(t), network)
        result = scheduler.step(output, t, latents, return_dict=True)
        latents = result.prev_sample
    return latents


@pytest.mark.parametrize("order", [0, 1, 2])
def test_reused_steps_are_extrapolated(load, order):
    pipeline, known = load("stable-diffusion"), []
    runs = {0, 1, 2, 5}

    def output_at(step, t, network):
        if step in runs:
            known.append((t, network()))
            return known[-1][1]
        points = known[-1 - order :]
        # The polynomial through the points, by solving for its coefficients.
        powers = np.vander([(time - t) / 1000 for time, _ in points], increasing=True)
        weights = np.linalg.inv(powers)[0]
        return sum(float(weight) * value for weight, (_, value) in zip(weights, points, strict=True))

    expected = ddim_by_hand(pipeline, 8, output_at)
    reuse = {"criterion": "interval", "interval": 3, "warmup": 3, "order": order}
    output = call(
        pipeline, "stable-diffusion", 2, 8, guidance_scale=1.0, output_type="latent", dynexec={"step_reuse": reuse}
    )
    assert output.dynexec.steps_reused == [4, 4]
    assert output.dynexec.network_calls == 4
    torch.testing.assert_close(torch.as_tensor(output.images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_reuse_in_every_family(load, name):
    pipeline = load(name)
    output = call(pipeline, name, 2, 6, dynexec={"step_reuse": {"criterion": "interval", "warmup": 2, "order": 1}})
    assert output.dynexec.steps_reused == [2, 2]
    assert output.dynexec.steps_run == [4, 4]
    assert output.dynexec.network_calls == 4
    assert np.isfinite(output.images).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_convergence_ends_with_the_predicted_clean_sample(load, name):
    pipeline, seen = load(name), []
    finished = Convergence.finished

    def watch(self, ran, before, after, clean):
        seen.append(clean().clone())
        return finished(self, ran, before, after, clean)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Convergence, "finished", watch)
        output = call(pipeline, name, 2, 6, output_type="latent", dynexec={"convergence": AT_ONCE})
    assert output.dynexec.stopped_at == [1, 1]
    assert output.dynexec.network_calls == 2
    assert output.dynexec.steps_run == [2, 2]
    torch.testing.assert_close(torch.as_tensor(output.images), seen[1].to(torch.float32))


def test_a_batch_shrinks_as_its_samples_stop(load, monkeypatch):
    pipeline, count, steps = load("stable-diffusion"), 7, 8

    def after(index: int):
        """A policy for which the sample of this index in the batch of all stops after as many steps."""

        def finished(self, ran, before, after, clean):
            self._steps += 1
            stops = np.arange(self.run.num_samples) + index
            return self._steps > stops

        return finished

    monkeypatch.setattr(Convergence, "finished", after(0))
    output = call(pipeline, "stable-diffusion", count, steps, dynexec={"convergence": True})
    assert output.dynexec.stopped_at == list(range(7))
    assert output.dynexec.steps_run == list(range(1, 8))
    assert output.dynexec.network_calls == 7
    assert output.dynexec.network_rows == 2 * sum(range(1, 8))
    for index in (0, 3, 6):
        monkeypatch.setattr(Convergence, "finished", after(index))
        alone = pipeline(
            PROMPTS[index],
            num_inference_steps=steps,
            generator=generators(7)[index],
            output_type="np",
            dynexec={"convergence": True},
        )
        assert alone.dynexec.stopped_at == [index]
        assert_equal_pictures(output.images[index], alone.images[0], 1e-4)


def test_all_together(load):
    dynexec = {"adaptive_guidance": {"threshold": 0.0}, "convergence": {**AT_ONCE, "min_steps": 6}, "step_reuse": True}
    output = call(load("stable-diffusion"), "stable-diffusion", 3, 12, dynexec=dynexec)
    stats = output.dynexec
    assert stats.guidance_dropped_at == [1, 1, 1]
    for run, reused, stopped in zip(stats.steps_run, stats.steps_reused, stats.stopped_at, strict=True):
        assert run + reused == (12 if stopped is None else stopped + 1)
    assert stats.network_rows <= 3 * 13


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "editing"),
    [
        ("stable-diffusion", DynExecPipelineForImage2Image, OVPipelineForImage2Image, ("image",)),
        ("stable-diffusion-3", DynExecPipelineForImage2Image, OVPipelineForImage2Image, ("image",)),
        ("latent-consistency", DynExecPipelineForImage2Image, OVPipelineForImage2Image, ("image",)),
        ("stable-diffusion", DynExecPipelineForInpainting, OVPipelineForInpainting, ("image", "mask_image")),
        ("stable-diffusion-inpaint", DynExecPipelineForInpainting, OVPipelineForInpainting, ("image", "mask_image")),
    ],
)
def test_editing(load, name, ours, theirs, editing):
    options = {key: [value] * 2 for key, value in pictures_for_editing().items() if key in editing}
    options["strength"] = 0.75
    if "mask_image" in editing:
        options |= {"height": 16, "width": 16}
    expected = call(load(name, theirs), name, 2, 8, **options).images
    pipeline = load(name, ours)
    output = call(pipeline, name, 2, 8, **options)
    # Strength leaves out the first steps, but latent consistency models take as many anew.
    assert output.dynexec.steps_planned == (8 if name == "latent-consistency" else 6)
    assert_equal_pictures(output.images, expected)
    assert_equal_pictures(call(pipeline, name, 2, 8, dynexec=NEVER, **options).images, expected)
    stopped = call(pipeline, name, 2, 8, dynexec={"convergence": AT_ONCE}, **options)
    assert stopped.dynexec.stopped_at == [1, 1]
    assert np.isfinite(stopped.images).all()


@pytest.mark.parametrize(
    ("scheduler", "options"),
    [
        (None, {"denoising_end": 0.5}),
        ("DDIMScheduler", {"denoising_end": 0.8}),
        ("PNDMScheduler", {"denoising_end": 0.8}),
        ("HeunDiscreteScheduler", {"denoising_end": 0.5}),
        ("DPMSolverMultistepScheduler", {"denoising_end": 0.5}),
        (None, {"sigmas": [14.6, 9.0, 6.0, 4.0, 3.0, 2.0], "num_inference_steps": None}),
    ],
)
def test_a_schedule_that_ends_in_noise_is_not_ended_early(load, monkeypatch, scheduler, options):
    """The caller asked for the noise: another model goes on with it."""
    pipeline = load("stable-diffusion-xl")
    if scheduler:
        monkeypatch.setattr(
            pipeline, "scheduler", getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
        )
    options = {"output_type": "latent", **options}
    expected = call(pipeline, "stable-diffusion-xl", 2, **{"steps": 10, **options}).images
    output = call(pipeline, "stable-diffusion-xl", 2, **{"steps": 10, **options}, dynexec={"convergence": AT_ONCE})
    assert_equal_pictures(output.images, expected, 1e-4)
    assert output.dynexec.stopped_at == [None, None]
    assert "ends before all noise is removed" in output.dynexec.policies["convergence"].reason


@pytest.mark.parametrize(
    ("name", "cls", "options"),
    [
        ("stable-diffusion-xl", DynExecPipelineForText2Image, {"timesteps": [900, 700, 500, 300, 100]}),
        ("stable-diffusion-xl", DynExecPipelineForText2Image, {"sigmas": [14.6, 6.0, 2.0, 1.0, 0.5, 0.0]}),
        ("stable-diffusion-3", DynExecPipelineForText2Image, {"sigmas": [1.0, 0.8, 0.6, 0.4, 0.2]}),
        ("stable-diffusion-xl", DynExecPipelineForImage2Image, {"denoising_start": 0.5}),
        ("stable-diffusion-xl", DynExecPipelineForImage2Image, {"strength": 0.5}),
    ],
)
def test_a_schedule_that_begins_late_or_is_given_is_ended_early(load, name, cls, options):
    """They end without noise."""
    if cls is DynExecPipelineForImage2Image:
        options = {**options, "image": [pictures_for_editing()["image"]] * 2}
    steps = None if {"timesteps", "sigmas"} & set(options) else 10
    output = call(load(name, cls), name, 2, steps, **options, dynexec={"convergence": AT_ONCE})
    assert output.dynexec.steps_planned == 5
    assert output.dynexec.stopped_at == [1, 1]
    assert output.dynexec.policies["convergence"].fired == [3, 3]


@pytest.mark.parametrize("name", ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_callbacks_may_return_latents_of_another_type(load, name, dtype):
    pipeline = load(name)

    def callback(pipe, step, timestep, values):
        return {"latents": values["latents"].to(dtype)}

    options = {"callback_on_step_end": callback}
    expected = call(pipeline, name, 2, 6, **options).images
    found = call(pipeline, name, 2, 6, dynexec=NEVER, **options)
    assert_equal_pictures(found.images, expected, 1e-3)
    stopped = call(pipeline, name, 2, 6, dynexec={"convergence": AT_ONCE}, **options)
    assert stopped.dynexec.stopped_at == [1, 1]
    # As many steps as were taken, with latents as they are.
    plain = call(pipeline, name, 2, 6, dynexec={"convergence": AT_ONCE})
    assert_equal_pictures(stopped.images, plain.images, 0.02 if dtype is torch.float16 else 1e-3)


@pytest.mark.parametrize(
    ("name", "steps", "dynexec", "reason"),
    [
        ("flux", 4, {"adaptive_guidance": True}, "ran without guidance"),
        (
            "stable-diffusion",
            4,
            {"adaptive_guidance": {"threshold": 1.0}},
            r"largest cosine of the two outputs was 0\.?",
        ),
        ("stable-diffusion", 1, {"adaptive_guidance": {"threshold": 0.0}}, "in the last step only"),
        ("stable-diffusion", 5, {"convergence": True}, "schedule has 5 steps.* at least 6 steps .`min_steps` 5"),
        ("stable-diffusion", 8, {"convergence": {"tolerance": 0.0}}, r"smallest change .* was \S+, above `tolerance`"),
        ("stable-diffusion", 3, {"step_reuse": True}, "schedule has 3 steps, of which the first 3 always run"),
        ("stable-diffusion", 8, {"step_reuse": {"threshold": 0.0}}, r"third-order difference of the latent was \S+"),
        ("stable-diffusion", 6, {"step_reuse": {"criterion": "interval", "interval": 1}}, "`interval` is 1"),
    ],
)
def test_a_policy_that_never_fired_says_why(load, name, steps, dynexec, reason):
    output = call(load(name), name, 2, steps, dynexec=dynexec).dynexec
    (policy,) = dynexec
    assert list(output.policies) == [policy]
    assert output.policies[policy].fired == [0, 0]
    assert re.search(reason, output.policies[policy].reason)
    assert f"{policy} never fired: " in str(output)


def test_policies_say_how_often_they_fired(load):
    dynexec = {
        "adaptive_guidance": {"threshold": 0.0},
        "convergence": {**AT_ONCE, "min_steps": 6},
        "step_reuse": {"criterion": "interval", "interval": 3, "warmup": 2},
    }
    output = call(load("stable-diffusion"), "stable-diffusion", 3, 12, dynexec=dynexec).dynexec
    stopped = output.stopped_at[0]
    assert stopped is not None
    assert output.stopped_at == [stopped] * 3
    assert output.policies["step_reuse"].fired == output.steps_reused != [0, 0, 0]
    assert output.policies["convergence"].fired == [11 - stopped] * 3
    assert output.policies["adaptive_guidance"].fired == [stopped] * 3
    assert all(policy.reason is None for policy in output.policies.values())
    assert f"convergence fired in {[11 - stopped] * 3} steps" in str(output)
    assert call(load("stable-diffusion"), "stable-diffusion").dynexec.policies == {}


def test_what_is_not_painted_over_stays_when_denoising_stops(load):
    """A network of four channels blends the picture back in after each step, noisy but after the last."""
    pipeline, options = load("stable-diffusion", DynExecPipelineForInpainting), pictures_for_editing()
    options |= {"height": 16, "width": 16, "output_type": "latent"}
    full = call(pipeline, "stable-diffusion", 1, 8, **options).images
    stopped = call(pipeline, "stable-diffusion", 1, 8, dynexec={"convergence": AT_ONCE}, **options)
    assert stopped.dynexec.stopped_at == [1]
    torch.testing.assert_close(torch.as_tensor(stopped.images)[..., :4], torch.as_tensor(full)[..., :4])


# Arguments of diffusers


def test_callbacks_see_every_planned_step(load):
    pipeline = load("stable-diffusion")

    def steps_of(dynexec):
        seen = []

        def callback(pipe, step, timestep, values):
            seen.append((step, int(timestep), values["latents"].clone()))
            return values

        call(pipeline, "stable-diffusion", 2, 6, callback_on_step_end=callback, dynexec=dynexec)
        return seen

    plain, stopped = steps_of(None), steps_of({"convergence": AT_ONCE})
    assert [entry[:2] for entry in plain] == [entry[:2] for entry in stopped]
    torch.testing.assert_close(plain[0][2], stopped[0][2])
    for entry in stopped[2:]:
        torch.testing.assert_close(entry[2], stopped[1][2])


def test_interrupting_as_diffusers_does(load):
    pipeline = load("stable-diffusion")

    def callback(pipe, step, timestep, values):
        pipe._interrupt = step == 1
        return values

    for dynexec in (None, NEVER):
        output = call(pipeline, "stable-diffusion", 2, 6, callback_on_step_end=callback, dynexec=dynexec)
        assert output.dynexec.steps_planned == 6
        assert output.dynexec.steps_run == [2, 2]
        assert output.dynexec.network_calls == 2


@pytest.mark.parametrize("dynexec", [None, NEVER])
def test_an_exception_leaves_the_pipeline_as_it_was(load, dynexec):
    pipeline = load("stable-diffusion")
    expected = call(pipeline, "stable-diffusion").images

    def callback(pipe, step, timestep, values):
        if step == 1:
            raise KeyboardInterrupt
        return values

    with pytest.raises(KeyboardInterrupt):
        call(pipeline, "stable-diffusion", 2, callback_on_step_end=callback, dynexec=dynexec)
    assert "forward" not in vars(pipeline.unet)
    assert "step" not in vars(pipeline.scheduler)
    np.testing.assert_array_equal(call(pipeline, "stable-diffusion").images, expected)


def test_generators_and_latents(load):
    pipeline = load("stable-diffusion")
    first, second = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    expected = call(pipeline, "stable-diffusion", generator=first).images
    stopped = call(pipeline, "stable-diffusion", generator=second, dynexec={"convergence": AT_ONCE})
    assert stopped.dynexec.stopped_at == [1]
    # What is drawn does not depend on when denoising stops.
    assert torch.equal(torch.rand(1, generator=first), torch.rand(1, generator=second))
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    given = call(pipeline, "stable-diffusion", latents=latents, dynexec=NEVER).images
    assert_equal_pictures(given, expected, 1e-5)


def test_forms_of_the_output(load):
    pipeline = load("stable-diffusion")
    arrays = call(pipeline, "stable-diffusion", 2).images
    images, nsfw = call(pipeline, "stable-diffusion", 2, output_type="pil", return_dict=False, dynexec=NEVER)
    assert nsfw is None
    assert [image.size for image in images] == [(16, 16)] * 2
    np.testing.assert_allclose(np.stack([np.asarray(image) for image in images]) / 255, arrays, atol=1 / 255)
    assert pipeline.last_dynexec.steps_run == [4, 4]
    assert call(pipeline, "stable-diffusion", output_type="latent").images.shape == (1, 4, 8, 8)
    twice = call(pipeline, "stable-diffusion", generator=None, num_images_per_prompt=2, dynexec=NEVER)
    assert twice.dynexec.steps_run == [4, 4]


def test_a_prompt_that_is_too_long_is_cut_as_usual(load):
    long = " ".join(PROMPTS * 20)
    expected = call(load("stable-diffusion", OVDiffusionPipeline), "stable-diffusion", prompt=long).images
    for dynexec in (None, NEVER):
        output = call(load("stable-diffusion"), "stable-diffusion", prompt=long, dynexec=dynexec)
        assert_equal_pictures(output.images, expected)


def test_nan_from_the_network(load, monkeypatch):
    pipeline = load("stable-diffusion")
    forward, calls = type(pipeline.unet).forward, []

    @functools.wraps(forward)
    def broken(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        calls.append(1)
        if len(calls) == 2:
            output[0][1, 0, 0, 0] = float("nan")
        return output

    monkeypatch.setattr(type(pipeline.unet), "forward", broken)
    with pytest.raises(NonFiniteOutputError, match=r"step 1 for image \[1\] of the batch"):
        call(pipeline, "stable-diffusion", 3, dynexec=NEVER)
    calls.clear()
    # Without policies nobody needs to judge it: as optimum-intel.
    call(pipeline, "stable-diffusion", 3, output_type="latent")


def test_schedulers_that_cannot_stop(load, monkeypatch):
    pipeline = load("stable-diffusion")
    unknown = diffusers.KDPM2DiscreteScheduler.from_config(pipeline.scheduler.config)
    monkeypatch.setattr(pipeline, "scheduler", unknown)
    with pytest.raises(UnsupportedSchedulerError, match="KDPM2DiscreteScheduler.*It can with DDIMScheduler"):
        call(pipeline, "stable-diffusion", dynexec={"convergence": True})
    # The other policies do not care.
    output = call(pipeline, "stable-diffusion", dynexec={"adaptive_guidance": {"threshold": 0.0}})
    assert output.dynexec.guidance_dropped_at == [1]


@pytest.mark.parametrize(
    "scheduler",
    [
        "DDPMScheduler",
        "PNDMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "UniPCMultistepScheduler",
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "HeunDiscreteScheduler",
        "LMSDiscreteScheduler",
    ],
)
def test_other_schedulers(load, monkeypatch, scheduler):
    pipeline = load("stable-diffusion")
    made = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    monkeypatch.setattr(pipeline, "scheduler", made)
    expected = call(pipeline, "stable-diffusion", 2).images
    assert_equal_pictures(call(pipeline, "stable-diffusion", 2, dynexec=NEVER).images, expected, 1e-5)
    stopped = call(pipeline, "stable-diffusion", 2, 8, dynexec={"convergence": AT_ONCE})
    assert stopped.dynexec.stopped_at == [1, 1]
    assert np.isfinite(stopped.images).all()
    reuse = {"criterion": "interval", "order": 1}
    assert np.isfinite(call(pipeline, "stable-diffusion", 2, 8, dynexec={"step_reuse": reuse}).images).all()


def test_a_fixed_batch_cannot_shrink(tiny_diffusion):
    pipeline = DynExecDiffusionPipeline.from_pretrained(
        tiny_diffusion("stable-diffusion"), export=False, compile=False
    )
    pipeline.reshape(batch_size=1, height=16, width=16, num_images_per_prompt=1)
    with pytest.raises(ValueError, match="batch size must be dynamic, but it is 2.*reshape"):
        call(pipeline, "stable-diffusion", dynexec={"adaptive_guidance": True})
    assert call(pipeline, "stable-diffusion").images.shape == (1, 16, 16, 3)


def test_saving(load, tmp_path):
    pipeline = load("stable-diffusion")
    pipeline.save_pretrained(tmp_path)
    expected = call(pipeline, "stable-diffusion").images
    for cls in (OVDiffusionPipeline, DynExecDiffusionPipeline):
        again = cls.from_pretrained(tmp_path, export=False, ov_config={"INFERENCE_PRECISION_HINT": "f32"})
        assert_equal_pictures(call(again, "stable-diffusion").images, expected, 1e-5)
    assert isinstance(again, DynExecDiffusionPipeline)


def test_exporting_on_loading(load, tiny_diffusion):
    source = tiny_diffusion("stable-diffusion").parent / "stable-diffusion"
    pipeline = DynExecDiffusionPipeline.from_pretrained(
        source, export=True, load_in_8bit=False, ov_config={"INFERENCE_PRECISION_HINT": "f32"}
    )
    expected = call(load("stable-diffusion"), "stable-diffusion").images
    assert_equal_pictures(call(pipeline, "stable-diffusion", dynexec=NEVER).images, expected, 1e-4)
    with pytest.raises(FileNotFoundError, match="train-steps"):
        call(pipeline, "stable-diffusion", 1, "auto")


def test_threads_take_turns(load):
    pipeline, calls = load("stable-diffusion"), [(1, None), (3, NEVER), (2, {"convergence": AT_ONCE}), (1, NEVER)]
    expected = [call(pipeline, "stable-diffusion", count, dynexec=dynexec) for count, dynexec in calls]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda c: call(pipeline, "stable-diffusion", c[0], dynexec=c[1]), calls))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        assert one.dynexec.stopped_at == other.dynexec.stopped_at


def test_classes(load):
    pipeline = load("stable-diffusion")
    assert isinstance(pipeline, DynExecDiffusionPipeline)
    assert isinstance(pipeline, diffusers.StableDiffusionPipeline)
    assert isinstance(load("stable-diffusion", DynExecPipelineForText2Image), DynExecPipelineForText2Image)
    with pytest.raises(ValueError, match="can't find a pipeline"):
        DynExecPipelineForInpainting._ov_class("SanaPipeline")


# The checks above can fail


FILL = session.DenoisingSession._fill
MUTANTS = {
    "finished samples go on": (
        "DenoisingSession._with_finished",
        lambda self, result: result,
        lambda load: test_convergence_ends_with_the_predicted_clean_sample(load, "stable-diffusion"),
    ),
    "the other half is computed": (
        "select_rows",
        lambda inputs, rows: select_rows(inputs, ~rows),
        lambda load: test_dropped_guidance_is_what_diffusers_cutoff_gives(
            load, "stable-diffusion", SDCFGCutoffCallback
        ),
    ),
    "the last output, whatever the order": (
        "OutputHistory.extrapolate",
        lambda self, unconditional, sample, timestep: self._known[unconditional, sample][-1][1],
        lambda load: test_reused_steps_are_extrapolated(load, 1),
    ),
    "outputs of the wrong sample": (
        "DenoisingSession._fill",
        lambda self, computed, *rest: FILL(self, computed.flip(0), *rest),
        lambda load: test_policies_that_find_nothing_change_nothing(load, "stable-diffusion", 7),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_caught(load, monkeypatch, name):
    target, mutant, check = MUTANTS[name]
    check(load)
    monkeypatch.setattr(f"optimum_dynexec.diffusion.session.{target}", mutant)
    with pytest.raises(AssertionError):
        check(load)
