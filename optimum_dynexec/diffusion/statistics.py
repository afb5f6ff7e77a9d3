"""Statistics of a call of a pipeline."""

from dataclasses import dataclass, field


@dataclass
class PolicyStats:
    """
    Statistics of one policy in a call.

    Args:
        fired (`list[int]`): number of steps in which the policy skipped work, for each image.
        reason (`str`, *optional*): reason why the policy never fired; `None` if it did.
    """

    fired: list[int] = field(default_factory=list)
    reason: str | None = None

    def __str__(self) -> str:
        return f"never fired: {self.reason}" if self.reason else f"fired in {self.fired} steps"


@dataclass
class DiffusionStats:
    """
    Statistics of one call, `output.dynexec`. Lists have one element per image, in the order of `output.images`. A
    step is one call of the scheduler. For second-order schedulers (Heun), it is half of one of their steps.

    Args:
        steps_planned (`int`): number of steps that the scheduler was set to.
        steps_predicted (`list[int]`, *optional*):
            Number of steps predicted for each prompt, with `num_inference_steps="auto"`.
        steps_run (`list[int]`): number of steps in which the network ran.
        steps_reused (`list[int]`): number of steps whose output was extrapolated.
        stopped_at (`list[int | None]`): step, from 0, after which an image ended early; `None` if it did not.
        guidance_dropped_at (`list[int | None]`): first step, from 0, without the unconditional pass, if any.
        policies (`dict[str, PolicyStats]`): statistics of each policy that was on.
        network_calls (`int`): number of inferences of the UNet or transformer.
        network_rows (`int`): number of rows in their batches. The work is proportional to it.
        seconds (`dict[str, float]`): time of each phase in seconds; `total` is the whole call.
    """

    steps_planned: int = 0
    steps_predicted: list[int] | None = None
    steps_run: list[int] = field(default_factory=list)
    steps_reused: list[int] = field(default_factory=list)
    stopped_at: list[int | None] = field(default_factory=list)
    guidance_dropped_at: list[int | None] = field(default_factory=list)
    policies: dict[str, PolicyStats] = field(default_factory=dict)
    network_calls: int = 0
    network_rows: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"steps planned {self.steps_planned}, run {self.steps_run}, reused {self.steps_reused}",
            f"stopped at {self.stopped_at}, guidance dropped at {self.guidance_dropped_at}",
            *(f"{name} {policy}" for name, policy in self.policies.items()),
            f"network calls {self.network_calls}, rows {self.network_rows}",
            "seconds: " + ", ".join(f"{name} {value:.3f}" for name, value in self.seconds.items()),
        ]
        if self.steps_predicted is not None:
            lines.insert(0, f"steps predicted {self.steps_predicted}")
        return "\n".join(lines)
