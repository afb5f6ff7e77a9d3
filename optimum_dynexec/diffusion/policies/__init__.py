"""What saves work while denoising: one policy a file."""

from .adaptive_guidance import AdaptiveGuidance
from .base import DenoisingPolicy, Run
from .convergence import Convergence
from .step_reuse import StepReuse


POLICIES: dict[str, type[DenoisingPolicy]] = {
    policy.name: policy for policy in (AdaptiveGuidance, Convergence, StepReuse)
}
