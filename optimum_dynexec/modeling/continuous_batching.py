"""transformers' interface for continuous batching: requests come and go while others are generated."""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm
from transformers.generation import GenerationConfig
from transformers.generation.continuous_batching.requests import GenerationOutput, RequestStatus

from ..native import _C
from ..runtime import Engine
from ..speculative.arguments import SPECULATION_ARGUMENTS
from ..speculative.stats import GenerationStats
from .generation import GenerationJob


if TYPE_CHECKING:
    from .causal_lm import DynExecModelForCausalLM


logger = logging.getLogger(__name__)

# The number of requests whose Python functions (processors, stopping criteria) run at the same time.
CALLBACK_THREADS = 4
# How often the thread that delivers results looks whether it should end.
TICK = 0.1
# How long a request waits for room in the queue, in seconds, as in transformers.
QUEUE_PATIENCE = 10.0


@dataclass
class DynExecGenerationOutput(GenerationOutput):
    """
    The state of a request: transformers' fields (those of 5.5, also with older versions), and three more.

    Args:
        created_time (`float`): time at which the request was made, of `time.perf_counter`.
        lifespan (`tuple[float, float]`): times of its first tokens and of its end; -1 before.
        timestamps (`list[float]`, *optional*): time of each token, if they are recorded.
        top_logprobs (`list[list[tuple[int, float]]]`):
            For each generated token, the most probable tokens and the natural logarithms of their probabilities.
        finish_reason (`str`, *optional*):
            Why it ended: `"length"`, `"stop"` (an end-of-sequence token), `"callback"` (a stopping criterion),
            `"cancelled"` or `"deadline"`. `None` while it goes on.
        dynexec ([`~speculative.GenerationStats`], *optional*): what the request did, in figures, when it has ended.
    """

    created_time: float = field(default_factory=time.perf_counter)
    lifespan: tuple[float, float] = (-1, -1)
    timestamps: list[float] | None = None
    top_logprobs: list[list[tuple[int, float]]] = field(default_factory=list)
    finish_reason: str | None = None
    dynexec: GenerationStats | None = None

    def is_finished(self) -> bool:
        """Whether it has ended without an error."""
        return self.status == RequestStatus.FINISHED


@dataclass
class _Request:
    """A request that has not ended, and who is told about it."""

    output: DynExecGenerationOutput
    job: GenerationJob
    engine: Engine  # the model may get another one, when a later request asks for an exit
    call: _C.Call | None = None
    streaming: bool = False
    handler: Callable[[DynExecGenerationOutput], None] | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def snapshot(self) -> DynExecGenerationOutput:
        output = copy(self.output)
        for name in ("generated_tokens", "logprobs", "top_logprobs", "timestamps"):
            values = getattr(output, name)
            setattr(output, name, None if values is None else list(values))
        return output


class ContinuousBatchingManager:
    """
    Generates for requests that come and go, as transformers' class of that name. All of them share the forward passes
    of the model with each other and with calls of `generate`. Made by
    [`DynExecModelForCausalLM.init_continuous_batching`].

    Args:
        model ([`DynExecModelForCausalLM`]): model that generates.
        generation_config (`GenerationConfig`): configuration of the requests.
        max_queue_size (`int`, *optional*, defaults to 0):
            Maximum number of requests that have not ended; 0: no limit. [`add_request`] waits for room for 10 seconds.
    """

    def __init__(self, model: "DynExecModelForCausalLM", generation_config: GenerationConfig, max_queue_size: int = 0):
        self.model = model
        self.generation_config = generation_config
        self._max_queue_size = max_queue_size
        self._outbox = _C.Outbox()
        self._numbers = itertools.count()
        self._changed = threading.Condition()  # of what follows
        self._by_id: dict[str, _Request] = {}
        self._by_call: dict[int, _Request] = {}
        self._results: list[DynExecGenerationOutput] = []
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._callbacks: ThreadPoolExecutor | None = None

    # ---- its thread --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts to deliver results. Requests may be added before."""
        with self._changed:
            # A thread that was to stop when all requests have ended goes on.
            self._stopping = False
            if self.is_running():
                logger.warning("The manager is running already.")
                return
        self._callbacks = ThreadPoolExecutor(CALLBACK_THREADS, thread_name_prefix="dynexec-callbacks")
        # Not a daemon: the interpreter would end it in the middle of a call of the extension.
        self._thread = threading.Thread(target=self._deliver, name="dynexec-results")
        self._thread.start()

    def is_running(self) -> bool:
        """Whether results are delivered."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, block: bool = True, timeout: float | None = None, keep_for_next_session: bool = False) -> None:
        """
        Stops when all requests have ended.

        Args:
            block (`bool`, *optional*, defaults to `True`): whether to wait for that.
            timeout (`float`, *optional*): maximum time to wait, in seconds.
            keep_for_next_session (`bool`, *optional*, defaults to `False`): whether `model` keeps this manager.
        """
        with self._changed:
            self._stopping = True
        if keep_for_next_session:
            self.model._cached_continuous_batching_manager = self
        thread = self._thread
        if block and thread is not None:
            thread.join(timeout)
            if thread.is_alive():
                logger.warning(f"Requests have not ended after {timeout} seconds.")

    def _deliver(self) -> None:
        callbacks = self._callbacks
        assert callbacks is not None
        ending = False
        while True:
            if not ending and not threading.main_thread().is_alive():
                # The program ends: the loop must not call Python any more.
                ending = True
                for request_id in list(self._by_id):
                    self.cancel_request(request_id)
            for event in self._outbox.take(TICK):
                # The request is entered after its call has started, so an event may come first.
                with self._changed:
                    request = self._by_call[event.call.id]
                self._handle(request, event)
            with self._changed:
                if (ending or self._stopping) and not self._by_id:
                    self._thread = None
                    break
        callbacks.shutdown(cancel_futures=True)

    def _handle(self, request: _Request, event: _C.Event) -> None:
        output = request.output
        if event.kind == _C.Event.Kind.DECIDE:
            assert self._callbacks is not None
            try:
                self._callbacks.submit(self._answer, request, event)
            except RuntimeError:  # the program ends
                self._answer(request, event)
        elif event.kind == _C.Event.Kind.TOKENS:
            if output.status == RequestStatus.PENDING:
                output.status, output.lifespan = RequestStatus.DECODING, (time.perf_counter(), -1)
            output.generated_tokens += event.tokens
            for logprob, top in event.logprobs:
                output.logprobs.append(logprob)
                output.top_logprobs.append(top)
            if output.timestamps is not None:
                output.timestamps += [time.perf_counter()] * len(event.tokens)
            if event.finish_reason != _C.FinishReason.NONE:
                output.finish_reason = event.finish_reason.name.lower()
            elif request.streaming:
                self._publish(request)
        else:
            self._close(request, event)

    def _close(self, request: _Request, event: _C.Event) -> None:
        output = request.output
        output.error = output.error or event.error
        output.status = RequestStatus.FINISHED if output.error is None else RequestStatus.FAILED
        output.lifespan = (output.lifespan[0], time.perf_counter())
        exit_layers = request.job.speculation.exit_layers
        stats = GenerationStats.from_engine(event.call.stats, request.engine.layers, exit_layers)
        output.dynexec = replace(stats, precision=self.model.precision)
        with self._changed:
            del self._by_id[output.request_id], self._by_call[event.call.id]
            self._publish(request)
            self._changed.notify_all()

    def _answer(self, request: _Request, event: _C.Event) -> None:
        def noted(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
            """The function of the caller. What it raises ends the request, and is its result."""

            def call(*arguments: Any) -> Any:
                assert function is not None
                try:
                    return function(*arguments)
                except Exception as error:
                    # Now, because the request has ended as soon as the loop knows.
                    request.output.error = f"{type(error).__name__}: {error}"
                    raise

            return None if function is None else call

        try:
            job = request.job
            request.engine.loop.answer(event, noted(job.process_logits), noted(job.should_stop), noted(job.forced))
        except Exception as error:
            request.output.error = request.output.error or f"{type(error).__name__}: {error}"

    def _publish(self, request: _Request) -> None:
        output = request.snapshot()
        # A handler may be registered at this moment: it gets this result from `_results`, or here.
        with self._changed:
            if request.handler is not None and request.loop is not None:
                # Nobody waits for a result on an event loop that has been closed.
                with suppress(RuntimeError):
                    request.loop.call_soon_threadsafe(request.handler, output)
            else:
                self._results.append(output)
                self._changed.notify_all()

    # ---- requests ----------------------------------------------------------------------------------------------

    def add_request(
        self,
        input_ids: Sequence[int],
        request_id: str | None = None,
        max_new_tokens: int | None = None,
        streaming: bool = False,
        record_timestamps: bool = False,
        eos_token_id: int | list[int] | None = None,
        *,
        handler: Callable[[DynExecGenerationOutput], None] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        logprobs: int | None = None,
        max_time: float | None = None,
        **kwargs: Any,
    ) -> str:
        """
        Adds a request, which starts at once.

        Args:
            input_ids (`Sequence[int]`): token ids of the prompt.
            request_id (`str`, *optional*): its name. If not set: `"req_0"`, `"req_1"` and so on.
            max_new_tokens (`int`, *optional*): maximum number of new tokens. If not set: that of the configuration.
            streaming (`bool`, *optional*, defaults to `False`):
                Whether there is a result after every step, with all tokens so far, or only at the end.
            record_timestamps (`bool`, *optional*, defaults to `False`): whether to record the time of every token.
            eos_token_id (`int` or `list[int]`, *optional*): tokens that end it; by default those of the configuration.
            handler (`Callable`, *optional*): function that receives the results, see [`register_result_handler`].
            loop (`asyncio.AbstractEventLoop`, *optional*): event loop of `handler`; by default the running one.
            logprobs (`int`, *optional*):
                Number of the most probable tokens whose log probabilities are in the results, with those of the
                generated tokens. They are those of the model, before temperature and other processors.
            max_time (`float`, *optional*): seconds after which the request ends, with the tokens so far.
            kwargs (*optional*):
                All other arguments of [`~DynExecModelForCausalLM.generate`], such as `temperature`, `seed`,
                `speculation`, `early_exit`, `assistant_model`, `logits_processor`, `stopping_criteria` or
                `cache_salt`.

        Returns:
            `str`: the name of the request.

        Raises:
            `ValueError`: if an argument is not accepted, the name is in use, or the engine cannot run the request (see
                [`~DynExecModelForCausalLM.generate`] for what only the plain model can do).
            `TimeoutError`: if `max_queue_size` requests did not end for 10 seconds.
        """
        if request_id is None:
            request_id = f"req_{next(self._numbers)}"
        if max_new_tokens is not None:
            kwargs["max_new_tokens"] = max_new_tokens
        if eos_token_id is not None:
            kwargs["eos_token_id"] = eos_token_id
        job, engine = self._job(list(input_ids), kwargs)
        job.logprobs, job.max_time = logprobs, max_time
        output = DynExecGenerationOutput(
            request_id=request_id, prompt_ids=list(input_ids), timestamps=[] if record_timestamps else None
        )
        if handler is not None and loop is None:
            loop = asyncio.get_running_loop()
        request = _Request(output, job, engine, streaming=streaming, handler=handler, loop=loop)
        with self._changed:
            if not self._changed.wait_for(lambda: not self._is_full(), QUEUE_PATIENCE):
                raise TimeoutError(f"{self._max_queue_size} requests have not ended: `max_queue_size` allows no more")
            if request_id in self._by_id:
                raise ValueError(f"`request_id` {request_id!r} is in use: take another one, or wait for its result")
            request.call = job.submit(engine, self._outbox, self.model.speculation_memory)
            self._by_id[request_id] = self._by_call[request.call.id] = request
        return request_id

    def _is_full(self) -> bool:
        return 0 < self._max_queue_size <= len(self._by_id)

    def _job(self, input_ids: list[int], kwargs: dict[str, Any]) -> tuple[GenerationJob, Engine]:
        from .generate_request import NoJob

        config = deepcopy(kwargs.pop("generation_config", None) or self.generation_config)
        # As `generate` would do, which warns when it gets both.
        fields = [name for name in kwargs if hasattr(config, name) and name not in SPECULATION_ARGUMENTS]
        config.update(**{name: kwargs.pop(name) for name in fields})
        inputs = torch.tensor([input_ids], dtype=torch.long)
        kwargs.setdefault("attention_mask", torch.ones_like(inputs))
        prepared = self.model._prepare_job(self.model._read_call(inputs, config, kwargs))
        if isinstance(prepared, NoJob):
            raise ValueError(f"continuous batching is not possible here: {prepared.reason}")
        rows = prepared.job.input_ids.shape[0]
        if rows != 1:
            raise ValueError(f"`num_return_sequences` must be 1, got {rows}: add a request for each of them")
        return prepared.job, prepared.engine

    def add_requests(
        self,
        inputs: Sequence[Sequence[int]],
        max_new_tokens: int | None = None,
        streaming: bool = False,
        record_timestamps: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """
        Adds several requests.

        Args:
            inputs (`Sequence[Sequence[int]]`): token ids of the prompts.
            max_new_tokens, streaming, record_timestamps, kwargs (*optional*): see [`add_request`].

        Returns:
            `list[str]`: the names of the requests.
        """
        return [
            self.add_request(ids, None, max_new_tokens, streaming, record_timestamps, **dict(kwargs)) for ids in inputs
        ]

    def cancel_request(self, request_id: str) -> None:
        """
        Ends a request before its next step. Its result has the tokens so far.

        Args:
            request_id (`str`): its name. Nothing happens if it has ended.
        """
        with self._changed:
            request = self._by_id.get(request_id)
        if request is not None and request.call is not None:
            request.engine.loop.cancel(request.call)

    def get_result(
        self, request_id: str | None = None, timeout: float | None = None
    ) -> DynExecGenerationOutput | None:
        """
        Takes a result.

        Args:
            request_id (`str`, *optional*): name of the request. If not set: the oldest result.
            timeout (`float`, *optional*): maximum time to wait, in seconds. If not set: until there is one.

        Returns:
            `DynExecGenerationOutput`, *optional*: the result; `None` if there is none, and the time is over or nothing
            is running.
        """

        def find() -> int | None:
            return next((i for i, result in enumerate(self._results) if request_id in (None, result.request_id)), None)

        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (found := find()) is None:
                left = TICK if deadline is None else min(TICK, deadline - time.monotonic())
                if left <= 0 or not self.is_running():
                    return None
                self._changed.wait(left)
            return self._results.pop(found)

    def __iter__(self) -> Iterator[DynExecGenerationOutput]:
        while self.is_running():
            result = self.get_result(timeout=TICK)
            if result is not None:
                yield result

    def request_id_iter(self, request_id: str) -> Iterator[DynExecGenerationOutput]:
        """
        Iterates over the results of a request, until it has ended.

        Args:
            request_id (`str`): its name.
        """
        while (result := self.get_result(request_id)) is not None:
            yield result
            if has_ended(result):
                return

    def register_result_handler(self, request_id: str, callback: Callable[[DynExecGenerationOutput], None]) -> None:
        """
        Has the results of a request delivered to a function, on the running event loop. Results that came before are
        delivered first.

        Args:
            request_id (`str`): name of the request.
            callback (`Callable`): function that is called with each [`DynExecGenerationOutput`].

        Raises:
            `RuntimeError`: if no event loop is running.
        """
        loop = asyncio.get_running_loop()
        with self._changed:
            earlier = [result for result in self._results if result.request_id == request_id]
            self._results = [result for result in self._results if result.request_id != request_id]
            for result in earlier:
                loop.call_soon_threadsafe(callback, result)
            request = self._by_id.get(request_id)
            if request is not None:
                request.handler, request.loop = callback, loop

    async def stream(self, input_ids: Sequence[int], **kwargs: Any) -> AsyncIterator[DynExecGenerationOutput]:
        """
        Adds a request and gives its results as they come: `async for output in manager.stream(ids)`. If the iteration
        ends early, the request is cancelled.

        Args:
            input_ids (`Sequence[int]`): token ids of the prompt.
            kwargs (*optional*): see [`add_request`].
        """
        results: asyncio.Queue[DynExecGenerationOutput] = asyncio.Queue()
        while self._is_full():
            await asyncio.sleep(TICK)
        request_id = self.add_request(input_ids, streaming=True, handler=results.put_nowait, **kwargs)
        ended = False
        try:
            while not ended:
                result = await results.get()
                ended = has_ended(result)
                yield result
        finally:
            if not ended:
                self.cancel_request(request_id)


def has_ended(output: GenerationOutput) -> bool:
    """
    Whether a request has ended, as it should or with an error.

    Args:
        output (`GenerationOutput`): a result of the request.
    """
    return output.status in (RequestStatus.FINISHED, RequestStatus.FAILED)


class ContinuousBatchingMixin:
    """Continuous batching, with the names of transformers' `ContinuousMixin`."""

    generation_config: GenerationConfig
    _cached_continuous_batching_manager: ContinuousBatchingManager | None = None

    def init_continuous_batching(
        self,
        generation_config: GenerationConfig | None = None,
        continuous_batching_config: Any = None,
        **kwargs: Any,
    ) -> ContinuousBatchingManager:
        """
        Makes a manager of requests that come and go.

        Args:
            generation_config (`GenerationConfig`, *optional*): configuration of the requests; by default the model's.
            continuous_batching_config (`transformers.ContinuousBatchingConfig`, *optional*):
                Its `max_queue_size` is used; the other fields are about kernels of GPUs.
            kwargs (*optional*): `max_queue_size`, and others of transformers' older versions, which have no effect.

        Returns:
            [`ContinuousBatchingManager`]: the manager; one that was kept for the next session, if there is one, as in
            transformers.
        """
        kept = self._cached_continuous_batching_manager
        if kept is not None:
            if generation_config not in (None, kept.generation_config):
                logger.warning(
                    "The manager that was kept has another `generation_config`, which its requests use. Call"
                    " `destroy_cached_continuous_batching_manager` first to make a new one."
                )
            return kept
        limit = kwargs.get("max_queue_size") or getattr(continuous_batching_config, "max_queue_size", None) or 0
        return ContinuousBatchingManager(
            self,  # type: ignore[arg-type]
            self.generation_config if generation_config is None else generation_config,
            limit,
        )

    def destroy_cached_continuous_batching_manager(self) -> None:
        """Stops the manager that was kept for the next session."""
        if self._cached_continuous_batching_manager is not None:
            self._cached_continuous_batching_manager.stop()
            self._cached_continuous_batching_manager = None

    @contextmanager
    def continuous_batching_context_manager(
        self,
        generation_config: GenerationConfig | None = None,
        block: bool = True,
        timeout: float | None = None,
        continuous_batching_config: Any = None,
        persistent_manager: bool = False,
        warmup_requests: int | None = 0,
        **kwargs: Any,
    ) -> Iterator[ContinuousBatchingManager]:
        """
        Starts a manager, and stops it at the end.

        Args:
            block, timeout (*optional*): see [`ContinuousBatchingManager.stop`].
            persistent_manager (`bool`, *optional*, defaults to `False`): whether the model keeps the manager.
            warmup_requests (`int`, *optional*): has no effect, because the model is warmed up when it is loaded.
            generation_config, continuous_batching_config, kwargs (*optional*): see [`init_continuous_batching`].
        """
        manager = self.init_continuous_batching(generation_config, continuous_batching_config, **kwargs)
        manager.start()
        try:
            yield manager
        finally:
            manager.stop(block, timeout, persistent_manager)

    def generate_batch(
        self,
        inputs: Sequence[Sequence[int]],
        generation_config: GenerationConfig | None = None,
        continuous_batching_config: Any = None,
        record_timestamps: bool = False,
        progress_bar: bool = True,
        persistent_manager: bool = False,
        warmup: bool = True,
        **kwargs: Any,
    ) -> dict[str, DynExecGenerationOutput]:
        """
        Generates for prompts of different lengths, without padding.

        Args:
            inputs (`Sequence[Sequence[int]]`): token ids of the prompts.
            progress_bar (`bool`, *optional*, defaults to `True`): whether to show a progress bar.
            kwargs (*optional*): see [`ContinuousBatchingManager.add_request`].
            generation_config, continuous_batching_config, record_timestamps, persistent_manager, warmup (*optional*):
                see [`continuous_batching_context_manager`].

        Returns:
            `dict[str, DynExecGenerationOutput]`: the result of each prompt, in their order, by the names of the
            requests.
        """
        results: dict[str, DynExecGenerationOutput] = {}
        with (
            self.continuous_batching_context_manager(
                generation_config, True, None, continuous_batching_config, persistent_manager
            ) as manager,
            tqdm(total=len(inputs), desc="requests", unit="request", disable=not progress_bar) as bar,
        ):
            names = manager.add_requests(inputs, record_timestamps=record_timestamps, **kwargs)
            try:
                for name in names:
                    result = manager.get_result(name)
                    assert result is not None
                    results[name] = result
                    bar.update()
            finally:
                for name in names[len(results) :]:
                    manager.cancel_request(name)
        return results
