"""The clean sample that a denoising step predicts, for each family of schedulers.

Ending with this sample is what a scheduler's own last step would do: DDIM with a cumulative alpha of 1, an Euler step
to a noise level of 0, DPM-Solver's first-order step to 0 and a flow that is followed to its end all give it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .errors import UnsupportedSchedulerError


if TYPE_CHECKING:
    from diffusers import SchedulerMixin
    from diffusers.utils import BaseOutput


# scheduler after its step, network output (guided), timestep, sample before the step, result of the step
CleanSample = Callable[["SchedulerMixin", torch.Tensor, torch.Tensor | float, torch.Tensor, Any], torch.Tensor]


def _from_alpha_sigma(
    prediction_type: str, output: torch.Tensor, sample: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """Solves sample = alpha x0 + sigma noise for x0, given the network's prediction of x0, noise or velocity."""
    if prediction_type == "epsilon":
        return (sample - sigma * output) / alpha
    if prediction_type == "v_prediction":
        return alpha * sample - sigma * output
    if prediction_type in ("sample", "original_sample"):
        return output
    raise UnsupportedSchedulerError(
        f"`convergence` supports the prediction types epsilon, v_prediction and sample, but not {prediction_type!r}"
    )


def _clipped(scheduler: "SchedulerMixin", clean: torch.Tensor) -> torch.Tensor:
    if scheduler.config.get("thresholding", False):
        return scheduler._threshold_sample(clean)
    if scheduler.config.get("clip_sample", False):
        limit = scheduler.config.get("clip_sample_range", 1.0)
        return clean.clamp(-limit, limit)
    return clean


def _current_sigma(scheduler: "SchedulerMixin") -> torch.Tensor:
    # The step has advanced the index.
    return scheduler.sigmas[scheduler.step_index - 1]


def by_alphas(
    scheduler: "SchedulerMixin", output: torch.Tensor, timestep: torch.Tensor | float, sample: torch.Tensor, _: object
) -> torch.Tensor:
    """Noise levels by timestep (DDPM, arXiv 2006.11239; DDIM, arXiv 2010.02502, eq. 9; PNDM, arXiv 2202.09778)."""
    cumulative = scheduler.alphas_cumprod[int(timestep)].to(sample.dtype)
    clean = _from_alpha_sigma(
        scheduler.config.prediction_type, output, sample, cumulative.sqrt(), (1 - cumulative).sqrt()
    )
    return _clipped(scheduler, clean)


def by_sigmas(
    scheduler: "SchedulerMixin", output: torch.Tensor, timestep: torch.Tensor | float, sample: torch.Tensor, _: object
) -> torch.Tensor:
    """Samples whose noise is not scaled down: sample = x0 + sigma noise (arXiv 2206.00364; Euler, Heun, LMS)."""
    sigma = _current_sigma(scheduler).to(sample.dtype)
    scale = (sigma**2 + 1).rsqrt()
    return _from_alpha_sigma(scheduler.config.prediction_type, output, sample * scale, scale, sigma * scale)


def by_solver(
    scheduler: "SchedulerMixin", output: torch.Tensor, timestep: torch.Tensor | float, sample: torch.Tensor, _: object
) -> torch.Tensor:
    """DPM-Solver++ (arXiv 2211.01095), DEIS and UniPC, with noise or flow."""
    sigma = _current_sigma(scheduler).to(sample.dtype)
    if scheduler.config.prediction_type == "flow_prediction":
        return sample - sigma * output
    alpha_t, sigma_t = scheduler._sigma_to_alpha_sigma_t(sigma)
    return _clipped(scheduler, _from_alpha_sigma(scheduler.config.prediction_type, output, sample, alpha_t, sigma_t))


def by_flow(
    scheduler: "SchedulerMixin", output: torch.Tensor, timestep: torch.Tensor | float, sample: torch.Tensor, _: object
) -> torch.Tensor:
    """Rectified flow: sample = (1 - sigma) x0 + sigma noise, and the network gives noise - x0 (arXiv 2403.03206)."""
    return sample - _current_sigma(scheduler).to(sample.dtype) * output


def from_result(
    scheduler: "SchedulerMixin",
    output: torch.Tensor,
    timestep: torch.Tensor | float,
    sample: torch.Tensor,
    result: "BaseOutput | tuple[torch.Tensor, ...]",
) -> torch.Tensor:
    """Latent consistency models, whose step returns the clean sample (arXiv 2310.04378)."""
    return result[1] if isinstance(result, tuple) else result.denoised


CLEAN_SAMPLES: dict[str, CleanSample] = {
    "DDIMScheduler": by_alphas,
    "DDPMScheduler": by_alphas,
    "PNDMScheduler": by_alphas,
    "DEISMultistepScheduler": by_solver,
    "DPMSolverMultistepScheduler": by_solver,
    "DPMSolverSinglestepScheduler": by_solver,
    "UniPCMultistepScheduler": by_solver,
    "EulerDiscreteScheduler": by_sigmas,
    "EulerAncestralDiscreteScheduler": by_sigmas,
    "HeunDiscreteScheduler": by_sigmas,
    "LMSDiscreteScheduler": by_sigmas,
    "FlowMatchEulerDiscreteScheduler": by_flow,
    "LCMScheduler": from_result,
}


def is_complete(scheduler: "SchedulerMixin", timestep: torch.Tensor | float, num_steps: int) -> bool:
    """
    Whether the planned steps of a pipeline remove all noise. They do not if the pipeline stops early
    (`denoising_end`), or if the given noise levels (`sigmas`) do not end low enough.

    Args:
        scheduler (`SchedulerMixin`): scheduler of the pipeline, after its first step.
        timestep (`Any`): timestep of the first step.
        num_steps (`int`): planned number of calls of the scheduler.
    """
    timesteps = torch.as_tensor(scheduler.timesteps)
    if getattr(scheduler, "step_index", None) is not None:
        starts = [int(scheduler.step_index) - 1]
    else:
        # PNDM visits one timestep twice, and may start at either visit.
        starts = torch.nonzero(timesteps == torch.as_tensor(timestep)).flatten().tolist()
    if len(timesteps) - num_steps not in starts:
        return False
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:
        return True
    alphas = getattr(scheduler, "alphas_cumprod", None)
    # Schedulers that end with the lowest noise level that the network was trained on count as complete.
    least = 0.0 if alphas is None else float(((1 - alphas[0]) / alphas[0]) ** 0.5)
    return float(sigmas[len(timesteps)]) <= 1.001 * least


def clean_sample_of(scheduler: "SchedulerMixin") -> CleanSample:
    """
    Finds the function that gives the clean sample that a scheduler's step predicts.

    Args:
        scheduler (`SchedulerMixin`): scheduler of the pipeline.

    Raises:
        `UnsupportedSchedulerError`: if the scheduler is not supported; the message names it and the supported ones.
    """
    for base in type(scheduler).__mro__:
        if base.__name__ in CLEAN_SAMPLES:
            return CLEAN_SAMPLES[base.__name__]
    raise UnsupportedSchedulerError(
        f"`convergence` cannot end denoising early with {type(scheduler).__name__}. It can with"
        f" {', '.join(sorted(CLEAN_SAMPLES))}: use one of these (`pipe.scheduler ="
        " DDIMScheduler.from_config(pipe.scheduler.config)`), or turn `convergence` off"
    )
