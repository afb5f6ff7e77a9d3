"""One call of a pipeline, with policies between the pipeline and its network and scheduler.

The pipeline's own loop runs unchanged, over the whole batch. Only its calls of the network and the scheduler change. A
call of the network computes the rows that are needed and fills in the others. A call of the scheduler steps all
samples; then finished samples are set back to their final values. Every pipeline that calls a network and then
`scheduler.step` works, with everything else that it does: blending for inpainting, its own noise, callbacks.
"""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.modeling_outputs import ModelOutput

from .config import POLICIES, DynExecDiffusionConfig
from .errors import NonFiniteOutputError
from .hooks import replaced
from .outputs import OutputHistory
from .policies.base import DenoisingPolicy, Run
from .rows import batch_of, select_rows
from .schedulers import clean_sample_of, is_complete
from .statistics import DiffusionStats, PolicyStats


if TYPE_CHECKING:
    from diffusers.utils import BaseOutput
    from optimum.intel import OVDiffusionPipeline


class DenoisingSession:
    """
    Installs itself in a pipeline for one call, as a context manager.

    Args:
        pipeline (`OVDiffusionPipeline`): pipeline that no other call is using.
        config ([`DynExecDiffusionConfig`]): policies of the call.

    Raises:
        `ValueError`: if a policy cannot work with the pipeline.
    """

    def __init__(self, pipeline: "OVDiffusionPipeline", config: DynExecDiffusionConfig):
        self.pipeline = pipeline
        self.config = config
        self.stats = DiffusionStats()
        self.seconds: dict[str, float] = {}
        for name, policy_config in config.policies.items():
            POLICIES[name].check(policy_config, pipeline.scheduler)
        if config.policies and pipeline.batch_size != -1:
            raise ValueError(
                f"the policies {sorted(config.policies)} skip rows of the batch, so the network's batch size must be"
                f" dynamic, but it is {pipeline.batch_size}: call `pipe.reshape(batch_size=-1, height=-1, width=-1,"
                " num_images_per_prompt=-1)`, or turn these policies off"
            )
        reuse = config.step_reuse
        self._history = OutputHistory(reuse.order) if reuse else None
        self._policies: dict[str, DenoisingPolicy] | None = None
        self._step = 0
        self._call = 0  # calls of the network in this step so far
        self._stack = ExitStack()

    def __enter__(self) -> "DenoisingSession":
        pipeline = self.pipeline
        self._started = time.perf_counter()
        network = pipeline.unet if pipeline.unet is not None else pipeline.transformer
        self._stack.enter_context(replaced(network, "forward", self._network))
        self._stack.enter_context(replaced(pipeline.scheduler, "step", self._scheduler_step))
        for name in ("text_encoder", "text_encoder_2", "text_encoder_3", "vae_encoder", "vae_decoder"):
            if getattr(pipeline, name, None) is not None:
                self._stack.enter_context(replaced(getattr(pipeline, name), "forward", self._timed(name)))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()
        self.seconds["total"] = time.perf_counter() - self._started
        self.stats.seconds = self.seconds
        self.stats.policies = {name: self._outcome(name) for name in self.config.policies}

    def _outcome(self, name: str) -> PolicyStats:
        if self._policies is None:
            return PolicyStats([], "the pipeline did not call its network")
        fired = self._fired[name].tolist()
        return PolicyStats(fired, None if any(fired) else self._policies[name].why_not())

    # Methods that the pipeline calls

    def _network(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        inputs = inspect.signature(original).bind(*args, **kwargs).arguments
        rows = batch_of(inputs)
        # With guidance, the batch has a half without and a half with the prompt, or there are two calls (Flux).
        halves = bool(getattr(self.pipeline, "do_classifier_free_guidance", False)) and rows % 2 == 0
        if self._policies is None:
            self._begin(rows // 2 if halves else rows)
        call, self._call = self._call, self._call + 1
        if not self._policies:
            self._ran[:] = True
            return self._infer(original, inputs, rows)
        if call == 0:
            with self._phase("policies"):
                self._plan_step()
        guided = self._runs & ~self._unguided
        # The unconditional half comes first, but the unconditional call comes second.
        calls = (self._runs, guided)
        wanted = np.concatenate([guided, self._runs]) if halves else calls[min(call, 1)]
        timestep = float(torch.as_tensor(inputs["timestep"]).flatten()[0])
        computed = self._compute(original, inputs, wanted)
        with self._phase("policies"):
            output = self._fill(computed, wanted, call, halves, timestep)
            self._observe_guidance(output, wanted, call, halves)
        values = {self._output_name: output}
        return values if inputs.get("return_dict", self._return_dict_default(original)) else ModelOutput(**values)

    def _scheduler_step(
        self, original: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> "BaseOutput | tuple[torch.Tensor, ...]":
        with self._phase("scheduler"):
            result = original(*args, **kwargs)
        step, self._step, self._call = self._step, self._step + 1, 0
        self.stats.steps_run = (np.asarray(self.stats.steps_run) + self._ran).tolist()
        if not self._policies:
            return result
        with self._phase("policies"):
            # The pipeline may pass arguments by position or by name.
            inputs = inspect.signature(original).bind(*args, **kwargs).arguments
            if step == 0:
                complete = is_complete(self.pipeline.scheduler, inputs["timestep"], self._num_steps)
                for policy in self._policies.values():
                    policy.schedule(complete)
            last = step + 1 >= self._num_steps
            if not last:
                self._ask_finished(step, inputs, result)
            return self._with_finished(result)

    # Parts of a step

    def _begin(self, num_samples: int) -> None:
        # With an image to start from, the pipeline takes fewer steps than the scheduler has.
        self._num_steps = int(getattr(self.pipeline, "_num_timesteps", None) or len(self.pipeline.scheduler.timesteps))
        self.stats.steps_planned = self._num_steps
        run = Run(num_samples, self._num_steps)
        self._policies = {name: POLICIES[name](config, run) for name, config in self.config.policies.items()}
        # For each policy, the number of steps in which it skipped work, and the samples that it has finished.
        self._fired = {name: np.zeros(num_samples, dtype=int) for name in self._policies}
        self._finished_by = {name: np.zeros(num_samples, dtype=bool) for name in self._policies}
        self._finished = np.zeros(num_samples, dtype=bool)
        self._ran = np.zeros(num_samples, dtype=bool)
        self._final: torch.Tensor | None = None
        self._output_shape = torch.Size()  # shape of one row
        self._conditional = torch.empty(0)  # output of the first call in this step
        self.stats.steps_run = [0] * num_samples
        self.stats.steps_reused = [0] * num_samples
        self.stats.stopped_at = [None] * num_samples
        self.stats.guidance_dropped_at = [None] * num_samples

    def _plan_step(self) -> None:
        assert self._policies is not None
        none = np.zeros_like(self._finished)
        reused = none.copy()
        self._unguided = none.copy()
        for name, policy in self._policies.items():
            own_reused, own_unguided = policy.reused(self._step), policy.unguided(self._step)
            self._fired[name] += self._finished_by[name] | (~self._finished & (own_reused | own_unguided))
            reused |= own_reused
            self._unguided |= own_unguided
        reused &= ~self._finished
        self._reused = reused
        self._runs = ~self._finished & ~reused
        self._ran = self._runs.copy()
        self.stats.steps_reused = (np.asarray(self.stats.steps_reused) + reused).tolist()
        for sample in np.flatnonzero(self._unguided & ~self._finished):
            if self.stats.guidance_dropped_at[sample] is None:
                self.stats.guidance_dropped_at[sample] = self._step

    def _infer(self, original: Callable[..., Any], inputs: dict[str, Any], rows: int) -> Any:
        with self._phase("network"):
            result = original(**inputs)
        self.stats.network_calls += 1
        self.stats.network_rows += rows
        return result

    def _compute(
        self, original: Callable[..., Any], inputs: dict[str, Any], wanted: np.ndarray
    ) -> torch.Tensor | None:
        """Runs the network for the wanted rows. `None` if there are none."""
        count = int(wanted.sum())
        if not count:
            return None
        result = self._infer(original, inputs if wanted.all() else select_rows(inputs, wanted), count)
        self._output_name, output = next(iter(result.items()))
        if not torch.isfinite(output).all():
            finite = torch.isfinite(output.flatten(1)).all(1).numpy()
            samples = sorted({int(row) % len(self._finished) for row in np.flatnonzero(wanted)[~finite]})
            raise NonFiniteOutputError(
                f"the network gave NaN or infinity in step {self._step} for image {samples} of the batch; policies"
                " cannot judge such an output. Try `ov_config={'INFERENCE_PRECISION_HINT': 'f32'}`"
            )
        return output

    def _fill(
        self, computed: torch.Tensor | None, wanted: np.ndarray, call: int, halves: bool, timestep: float
    ) -> torch.Tensor:
        """The output for the whole batch: computed, extrapolated, copied from the conditional output, or unused."""
        indices, n = np.flatnonzero(wanted), len(self._finished)
        # The first row of each half of the batch, and whether the half is without the prompt.
        parts = [(0, True), (n, False)] if halves else [(0, call == 1)]
        if computed is not None and self._history is not None:
            for begin, unconditional in parts:
                own = (indices >= begin) & (indices < begin + n)
                self._history.record(unconditional, indices[own] - begin, timestep, computed[torch.from_numpy(own)])
        if computed is not None and wanted.all():
            output = computed
        else:
            shape = self._output_shape if computed is None else computed.shape[1:]
            output = torch.zeros((len(wanted), *shape))
            if computed is not None:
                output[torch.from_numpy(indices)] = computed
        self._output_shape = output.shape[1:]
        for sample in np.flatnonzero(self._reused):
            assert self._history is not None
            for begin, unconditional in parts:
                if not (unconditional and self._unguided[sample]):
                    output[begin + sample] = self._history.extrapolate(unconditional, int(sample), timestep)
        dropped = torch.from_numpy(self._unguided & ~self._finished)
        if halves:
            output[:n][dropped] = output[n:][dropped]
        elif call == 1:
            output[dropped] = self._conditional[dropped]
        if call == 0 and not halves:
            self._conditional = output
        return output

    def _observe_guidance(self, output: torch.Tensor, wanted: np.ndarray, call: int, halves: bool) -> None:
        if not halves and call != 1:
            return
        n = len(self._finished)
        both = np.flatnonzero(wanted[:n])
        if not len(both):
            return
        index = torch.from_numpy(both)
        conditional = output[n:][index] if halves else self._conditional[index]
        for policy in (self._policies or {}).values():
            policy.observe_guidance(both, conditional, output[:n][index])

    def _ask_finished(
        self, step: int, inputs: dict[str, Any], result: "BaseOutput | tuple[torch.Tensor, ...]"
    ) -> None:
        scheduler, before, after = self.pipeline.scheduler, inputs["sample"], _first(result)
        found: list[torch.Tensor] = []

        def clean() -> torch.Tensor:
            if not found:
                of = clean_sample_of(scheduler)
                # Computed in float32: a callback may have changed the type of the latents.
                output, sample = inputs["model_output"].to(torch.float32), before.to(torch.float32)
                found.append(of(scheduler, output, inputs["timestep"], sample, result).to(torch.float32))
            return found[0]

        finished = np.zeros_like(self._finished)
        for name, policy in (self._policies or {}).items():
            own = policy.finished(self._ran, before, after, clean) & ~self._finished
            self._finished_by[name] |= own
            finished |= own
        if not finished.any():
            return
        if self._final is None:
            self._final = torch.zeros_like(after, dtype=torch.float32)
        index = torch.from_numpy(finished)
        self._final[index] = clean()[index]
        self._finished |= finished
        for sample in np.flatnonzero(finished):
            self.stats.stopped_at[sample] = step

    def _with_finished(
        self, result: "BaseOutput | tuple[torch.Tensor, ...]"
    ) -> "BaseOutput | tuple[torch.Tensor, ...]":
        """The scheduler's result, with the final values of finished samples."""
        if self._final is None:
            return result
        index, final = torch.from_numpy(self._finished), self._final

        def put(value: Any) -> Any:
            # The noisy sample, and the clean sample that some schedulers also return.
            if not isinstance(value, torch.Tensor) or value.shape != final.shape:
                return value
            value = value.clone()
            value[index] = final[index].to(value.dtype)
            return value

        if isinstance(result, tuple):
            return tuple(put(value) for value in result)
        return type(result)(**{name: put(value) for name, value in result.items()})

    # Times

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def _timed(self, name: str) -> Callable[..., Any]:
        def replacement(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            with self._phase(name):
                return original(*args, **kwargs)

        return replacement

    @staticmethod
    def _return_dict_default(original: Callable[..., Any]) -> bool:
        return bool(inspect.signature(original).parameters["return_dict"].default)


def _first(result: "BaseOutput | tuple[torch.Tensor, ...]") -> torch.Tensor:
    return result[0] if isinstance(result, tuple) else result.prev_sample
