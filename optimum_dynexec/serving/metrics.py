"""What `/metrics` says, with vLLM's names."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .admission import Admission
from .choice import Choice


if TYPE_CHECKING:
    from ..runtime import Engine

LABEL = "model_name"
# The label `layer` of a text that ran without early exit.
NO_EARLY_EXIT = "off"
# Seconds, for times of whole requests, up to the first token, and between tokens.
REQUEST_BUCKETS = (0.1, 0.3, 0.5, 1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 300, 600)
FIRST_BUCKETS = (0.01, 0.02, 0.04, 0.06, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)


class CommonMetrics:
    """
    The metrics that a server of any kind of model has.

    Args:
        collector (`Collector`): what is read when it is asked for.
        model_name (`str`): name of the model, a label of all metrics.
    """

    def __init__(self, collector: Collector, model_name: str):
        self._registry, self._name = CollectorRegistry(), model_name
        self._registry.register(collector)
        self._prompt_tokens = self._counter("prompt_tokens", "Prompt tokens of requests that have ended.")
        self._success = self._counter("request_success", "Choices that have ended, by reason.", "finished_reason")
        self._total = self._histogram("e2e_request_latency_seconds", "Time of a request.", REQUEST_BUCKETS)
        self._queue = self._histogram("request_queue_time_seconds", "Time of waiting in the queue.", REQUEST_BUCKETS)

    def waited(self, seconds: float) -> None:
        """Counts the time that a request waited for its turn."""
        self._queue.labels(self._name).observe(seconds)

    def text(self) -> bytes:
        """The metrics in Prometheus' form."""
        return generate_latest(self._registry)

    def _counter(self, name: str, description: str, *labels: str, group: str = "vllm") -> Counter:
        return Counter(f"{group}:{name}", description, (LABEL, *labels), registry=self._registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"vllm:{name}", description, (LABEL,), registry=self._registry, buckets=buckets)


class EncoderMetrics(CommonMetrics):
    """
    The metrics of an encoder.

    Args:
        admission ([`Admission`]): what waits and runs.
        model_name (`str`): name of the model, a label of all metrics.
    """

    def __init__(self, admission: Admission, model_name: str):
        super().__init__(_AdmissionCollector(admission, model_name), model_name)
        self._exits = self._counter(
            "exit_layer", "Texts, by the layer after which they left.", "layer", group="dynexec"
        )

    def ended(self, tokens: int, texts: int, reason: str, layers: Iterable[int | None], seconds: float) -> None:
        """
        Counts a request that has ended.

        Args:
            tokens (`int`): number of its tokens.
            texts (`int`): number of its texts.
            reason (`str`): why it ended.
            layers (`Iterable[int]`): layers after which texts left. `None`: a text without early exit.
            seconds (`float`): time since it came.
        """
        self._total.labels(self._name).observe(seconds)
        self._success.labels(self._name, reason).inc(texts)
        self._prompt_tokens.labels(self._name).inc(tokens)
        for layer in layers:
            self._exits.labels(self._name, NO_EARLY_EXIT if layer is None else str(layer)).inc()


class Metrics(CommonMetrics):
    """
    The metrics of a decoder.

    Args:
        engine ([`~runtime.Engine`]): engine of the model.
        admission ([`Admission`]): what waits and runs.
        model_name (`str`): name of the model, a label of all metrics.
    """

    def __init__(self, engine: "Engine", admission: Admission, model_name: str):
        super().__init__(_EngineCollector(engine, admission, model_name), model_name)
        self._generation_tokens = self._counter("generation_tokens", "Tokens that were generated.")
        self._drafted = self._counter("spec_decode_num_draft_tokens", "Draft tokens, by source.", "proposer")
        self._accepted = self._counter("spec_decode_num_accepted_tokens", "Accepted draft tokens.", "proposer")
        self._first = self._histogram("time_to_first_token_seconds", "Time to the first token.", FIRST_BUCKETS)
        self._each = self._histogram("time_per_output_token_seconds", "Time per further token.", TOKEN_BUCKETS)

    def ended(self, choices: Iterable[Choice], reasons: Iterable[str], start: float, end: float) -> None:
        """
        Counts a request that has ended.

        Args:
            choices (`Iterable[Choice]`): its choices.
            reasons (`Iterable[str]`): why they ended.
            start, end (`float`): when the request came, and when it ended, by `time.perf_counter`.
        """
        self._total.labels(self._name).observe(end - start)
        prompts = set()
        for choice, reason in zip(choices, reasons, strict=True):
            self._success.labels(self._name, reason).inc()
            self._generation_tokens.labels(self._name).inc(choice.tokens)
            if id(choice.prompt) not in prompts:
                prompts.add(id(choice.prompt))
                self._prompt_tokens.labels(self._name).inc(len(choice.prompt))
            if choice.first_token is not None:
                self._first.labels(self._name).observe(max(choice.first_token - start, 0.0))
                if choice.tokens > 1:
                    self._each.labels(self._name).observe(max(end - choice.first_token, 0.0) / (choice.tokens - 1))
            stats = None if choice.output is None else choice.output.dynexec
            for proposer in () if stats is None else stats.proposers:
                self._drafted.labels(self._name, proposer.name).inc(proposer.proposed)
                self._accepted.labels(self._name, proposer.name).inc(proposer.accepted)


def _families(
    kind: type[GaugeMetricFamily | CounterMetricFamily], values: Mapping[str, tuple[str, float]], model_name: str
) -> Iterator[Metric]:
    """A metric for each name, with its description and its value."""
    for name, (description, value) in values.items():
        family = kind(f"vllm:{name}", description, labels=[LABEL])
        family.add_metric([model_name], value)
        yield family


class _AdmissionCollector(Collector):
    """What runs and waits."""

    def __init__(self, admission: Admission, model_name: str):
        self._admission, self._name = admission, model_name

    def collect(self) -> Iterator[Metric]:
        gauges = {
            "num_requests_running": ("Texts that have their turn.", self._admission.running),
            "num_requests_waiting": ("Requests that wait.", self._admission.waiting),
        }
        yield from _families(GaugeMetricFamily, gauges, self._name)


class _EngineCollector(Collector):
    """What the engine counts itself. It is read when it is asked for."""

    def __init__(self, engine: "Engine", admission: Admission, model_name: str):
        self._engine, self._admission, self._name = engine, admission, model_name

    def collect(self) -> Iterator[Metric]:
        stats, model = self._engine.loop.stats, self._engine.paged_model
        waiting = stats.waiting + self._admission.waiting
        used = stats.used_blocks * model.block_size / max(model.cache_limit, 1)
        gauges = {
            "num_requests_running": ("Sequences that are generated at present.", stats.running),
            "num_requests_waiting": ("Requests that wait.", waiting),
            "kv_cache_usage_perc": ("Share of the KV cache that is in use, from 0 to 1.", min(used, 1.0)),
        }
        yield from _families(GaugeMetricFamily, gauges, self._name)
        counters = {
            "prefix_cache_queries": ("Tokens that were looked for in the prefix cache.", stats.prefix_queries),
            "prefix_cache_hits": ("Tokens that were found in the prefix cache.", stats.prefix_hits),
            "num_preemptions": ("Sequences that gave their KV cache back.", stats.preemptions),
        }
        yield from _families(CounterMetricFamily, counters, self._name)
