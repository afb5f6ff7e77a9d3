"""What a call of a pipeline did."""

from dataclasses import dataclass, field


@dataclass
class PolicyStats:
    """
    What one policy of a call did.

    Args:
        fired (`list[int]`): for each picture, the number of steps in which the policy left out work.
        reason (`str`, *optional*): why the policy never fired; `None` if it did.
    """

    fired: list[int] = field(default_factory=list)
    reason: str | None = None

    def __str__(self) -> str:
        return f"never fired: {self.reason}" if self.reason else f"fired in {self.fired} steps"


@dataclass
class DiffusionStats:
    """
    Statistics of one call, `output.dynexec`. Lists have one element a picture, in the order of `output.images`. A step
    is one call of the scheduler, which for schedulers of second order (Heun) is half a step of theirs.

    Args:
        steps_planned (`int`): that the scheduler was set to.
        steps_predicted (`list[int]`, *optional*): of each prompt, for `num_inference_steps="auto"`.
        steps_run (`list[int]`): for which the network ran.
        steps_reused (`list[int]`): that were extrapolated instead.
        stopped_at (`list[int | None]`): step, from 0, after which a picture was finished before the last step.
        guidance_dropped_at (`list[int | None]`): first step, from 0, without the unconditional pass.
        policies (`dict[str, PolicyStats]`): of each policy that was on, how often it fired, or why it never did.
        network_calls (`int`): inferences of the UNet or transformer.
        network_rows (`int`): rows of their batches, which is what the work is proportional to.
        seconds (`dict[str, float]`): time of each phase; `total` is the whole call.
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
