"""Text generation for users who come and go: optimum-dynexec and openvino_genai's continuous batching.

    python -m benchmarks.serving --model DIRECTORY --questions spec_bench_questions.jsonl --users 1 4 16

DIRECTORY is the export of a decoder. In a closed loop, each user sends a request, waits for its answer and sends the
next one. With `--rates`, requests come at random times instead (Poisson arrivals). One harness drives all systems in
one process, without HTTP, one after the other in rotating order. TTFT is the time from a request to its first token,
TPOT the time per output token after it.
"""

import argparse
import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai
from tqdm.auto import tqdm
from transformers import AutoTokenizer, GenerationConfig

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.directory.hashes import hash_model
from optimum_dynexec.modeling.continuous_batching import has_ended

from .genai_systems import DEVICE
from .models import eos_token_ids
from .questions import CODE_EDITING, encode, hash_questions, load_questions
from .results import write_results


PRECISIONS = ("auto", "exact", "f32", "fast")
USERS = (1, 2, 4, 8, 16, 32)
# A system prompt that all requests share with `--shared-prompt`.
SHARED_PROMPT = (
    "You are the assistant of a library. Answer in the language of the question. Be brief, name what you do not know,"
    " and never invent a title, an author or a date. "
)


@dataclass
class Progress:
    """
    What has come of a request.

    Args:
        tokens (`list[int]`): all tokens so far.
        ended (`bool`): whether there are no more.
    """

    tokens: list[int]
    ended: bool


class ServingSystem(ABC):
    """An engine that answers requests that come and go, greedily."""

    @abstractmethod
    def add(self, name: str, ids: list[int], new_tokens: int) -> None:
        """Adds a request with at most `new_tokens` new tokens."""

    @abstractmethod
    def poll(self, timeout: float) -> dict[str, Progress]:
        """What has come since the last call, by request. Waits at most `timeout` seconds, or makes a step."""

    @abstractmethod
    def forget(self) -> None:
        """Forgets earlier requests, so that the next run starts cold, as far as the engine can."""


class DynExecServing(ServingSystem):
    """
    `DynExecModelForCausalLM` with one kind of speculation.

    Args:
        directory (`Path`): directory of the export.
        precision (`str`): precision of the model.
        eos (`list[int]`): tokens that end an answer.
        speculation (`str`): argument of `generate`.
        prefix_cache (`bool`): whether known prefixes are used again.
    """

    def __init__(self, directory: Path, precision: str, eos: list[int], speculation: str, prefix_cache: bool):
        self.model = DynExecModelForCausalLM.from_pretrained(directory, precision=precision, prefix_cache=prefix_cache)
        self.options = {"speculation": speculation}
        self.manager = self.model.init_continuous_batching(
            GenerationConfig(do_sample=False, eos_token_id=eos, pad_token_id=eos[0])
        )
        self.manager.start()

    def add(self, name: str, ids: list[int], new_tokens: int) -> None:
        self.manager.add_request(ids, name, new_tokens, streaming=True, **self.options)

    def poll(self, timeout: float) -> dict[str, Progress]:
        found: dict[str, Progress] = {}
        output = self.manager.get_result(timeout=timeout)
        while output is not None:
            if output.error is not None:
                raise RuntimeError(f"request {output.request_id}: {output.error}")
            found[output.request_id] = Progress(output.generated_tokens, has_ended(output))
            output = self.manager.get_result(timeout=0.0)
        return found

    def forget(self) -> None:
        self.model.speculation_memory.forget_texts()
        self.model.engine.paged_model.forget_prefixes()


class GenaiServing(ServingSystem):
    """
    `openvino_genai.ContinuousBatchingPipeline`.

    Args:
        directory (`Path`): directory of the export.
        eos (`list[int]`): tokens that end an answer.
        prefix_caching (`bool`): whether known prefixes are used again.
        properties (*optional*): properties of the pipeline.
        config (*optional*): fields of the `GenerationConfig`.
    """

    def __init__(
        self,
        directory: Path,
        eos: list[int],
        prefix_caching: bool = False,
        properties: dict[str, object] | None = None,
        config: dict[str, int] | None = None,
    ):
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = prefix_caching
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(str(directory), scheduler, DEVICE, properties or {})
        self.eos, self.fields = eos, config or {}
        self.open: dict[str, tuple[openvino_genai.GenerationHandle, list[int]]] = {}
        self.number = 0

    def add(self, name: str, ids: list[int], new_tokens: int) -> None:
        config = openvino_genai.GenerationConfig()
        config.do_sample = False
        config.set_eos_token_id(self.eos[0])
        config.stop_token_ids = set(self.eos)
        config.max_new_tokens = new_tokens
        for key, value in self.fields.items():
            setattr(config, key, value)
        prompt = ov.Tensor(np.array([ids], dtype=np.int64))
        self.open[name] = self.pipeline.add_request(self.number, prompt, config), []
        self.number += 1

    def poll(self, timeout: float) -> dict[str, Progress]:
        if self.pipeline.has_non_finished_requests():
            self.pipeline.step()
        elif not self.open:
            time.sleep(min(timeout, 0.001))
        found = {}
        for name, (handle, tokens) in list(self.open.items()):
            while handle.can_read():
                (output,) = handle.read().values()
                tokens += output.generated_ids
                found[name] = Progress(list(tokens), False)
            if handle.get_status() != openvino_genai.GenerationStatus.RUNNING:
                found[name] = Progress(list(tokens), True)
                del self.open[name]
        return found

    def forget(self) -> None:
        pass  # it has no means to


@dataclass
class Request:
    """
    The times of a request, in seconds since the start of the run.

    Args:
        sent, first, last (`float`): when it was sent, and when its first and its last token came.
        tokens (`list[int]`): its answer.
    """

    sent: float
    first: float = 0.0
    last: float = 0.0
    tokens: list[int] = field(default_factory=list)

    @property
    def per_token(self) -> float:
        """Seconds for each token after the first."""
        return (self.last - self.first) / max(len(self.tokens) - 1, 1)


@dataclass(frozen=True)
class ServingFigures:
    """
    Results of one system under one load.

    Args:
        system (`str`): name of the system.
        load (`str`): users, or requests per second.
        tokens_per_second (`float`): output tokens of all requests by the time of the run.
        ttft_p50, ttft_p95, tpot_p50, tpot_p95 (`float`): milliseconds.
        equal (`int`): number of answers that equal those of the same engine's plain decoding with one user.
        requests (`int`): number of requests.
    """

    system: str
    load: str
    tokens_per_second: float
    ttft_p50: float
    ttft_p95: float
    tpot_p50: float
    tpot_p95: float
    equal: int
    requests: int


def drive(
    system: ServingSystem, prompts: Sequence[list[int]], new_tokens: int, arrivals: Sequence[float] | None, users: int
) -> tuple[list[Request], float]:
    """
    Runs a load.

    Args:
        system ([`ServingSystem`]): engine under test.
        prompts (`Sequence[list[int]]`): token ids of the requests.
        new_tokens (`int`): maximum number of new tokens of each request.
        arrivals (`Sequence[float]`, *optional*): time of each request, in seconds. If not set: a closed loop.
        users (`int`): number of requests at once in a closed loop.

    Returns:
        `tuple`: the [`Request`]s, and the seconds from the start to the last token.
    """
    done: dict[str, Request] = {}
    open_requests: dict[str, Request] = {}
    start = time.perf_counter()
    while len(done) < len(prompts):
        now = time.perf_counter() - start
        number = len(done) + len(open_requests)
        while number < len(prompts):
            if (arrivals is None and len(open_requests) >= users) or (arrivals is not None and arrivals[number] > now):
                break
            sent = now if arrivals is None else arrivals[number]
            open_requests[str(number)] = Request(sent)
            system.add(str(number), prompts[number], new_tokens)
            number += 1
        for name, progress in system.poll(0.01).items():
            request = open_requests[name]
            if progress.tokens and not request.tokens:
                request.first = time.perf_counter() - start
            if len(progress.tokens) > len(request.tokens):
                request.last = time.perf_counter() - start
            request.tokens = progress.tokens
            if progress.ended:
                done[name] = open_requests.pop(name)
    seconds = max(request.last for request in done.values())
    return [done[str(i)] for i in range(len(prompts))], seconds


def figures(
    system: str, load: str, requests: Sequence[Request], seconds: float, expected: Sequence[list[int]]
) -> ServingFigures:
    """
    Summarizes a run.

    Args:
        system, load (`str`): names for the table.
        requests (`Sequence[Request]`): requests of the run.
        seconds (`float`): time of the run.
        expected (`Sequence[list[int]]`): answers to compare with.
    """
    ttft = [1e3 * (request.first - request.sent) for request in requests]
    tpot = [1e3 * request.per_token for request in requests]
    return ServingFigures(
        system=system,
        load=load,
        tokens_per_second=sum(len(request.tokens) for request in requests) / seconds,
        ttft_p50=float(np.percentile(ttft, 50)),
        ttft_p95=float(np.percentile(ttft, 95)),
        tpot_p50=float(np.percentile(tpot, 50)),
        tpot_p95=float(np.percentile(tpot, 95)),
        equal=sum(request.tokens == tokens for request, tokens in zip(requests, expected, strict=True)),
        requests=len(requests),
    )


def table(rows: Sequence[ServingFigures]) -> str:
    """All loads as Markdown, with the ratio of the throughput to the best of openvino_genai's systems."""
    cells = []
    for row in rows:
        peers = [r.tokens_per_second for r in rows if r.load == row.load and r.system.startswith("genai")]
        cells.append(
            [
                row.load,
                row.system,
                f"{row.tokens_per_second:.1f}",
                f"{row.tokens_per_second / max(peers):.2f}" if peers else "",
                *(f"{value:.0f}" for value in (row.ttft_p50, row.ttft_p95, row.tpot_p50, row.tpot_p95)),
                f"{row.equal} of {row.requests}",
            ]
        )
    times = ["TTFT p50 ms", "TTFT p95 ms", "TPOT p50 ms", "TPOT p95 ms"]
    return markdown(["load", "system", "tokens/s", "x best genai", *times, "same as alone"], cells)


def draw(rows: Sequence[ServingFigures], path: Path, title: str) -> None:
    """Draws the throughput, and the 95th percentile of TTFT, over the load."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == name]
        loads = [row.load for row in own]
        left.plot(loads, [row.tokens_per_second for row in own], marker="o", label=name)
        right.plot(loads, [row.ttft_p95 for row in own], marker="o", label=name)
    left.set(xlabel="load", ylabel="tokens per second", title=title, ylim=(0, None))
    right.set(xlabel="load", ylabel="TTFT p95, ms", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


SYSTEMS: dict[str, Callable[[Path, str, list[int]], ServingSystem]] = {
    "dynexec-plain": lambda path, precision, eos: DynExecServing(path, precision, eos, "off", False),
    "dynexec-auto": lambda path, precision, eos: DynExecServing(path, precision, eos, "auto", False),
    "dynexec-auto-prefix": lambda path, precision, eos: DynExecServing(path, precision, eos, "auto", True),
    "genai-plain": lambda path, _, eos: GenaiServing(path, eos),
    "genai-prefix": lambda path, _, eos: GenaiServing(path, eos, prefix_caching=True),
    "genai-lookup-k3-n3": lambda path, _, eos: GenaiServing(
        path, eos, False, {"prompt_lookup": True}, {"num_assistant_tokens": 3, "max_ngram_size": 3}
    ),
}


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    questions = load_questions(args.questions, args.requests, args.seed)
    random.Random(args.seed).shuffle(questions)
    text = SHARED_PROMPT * args.shared_prompt
    prompts = [encode(tokenizer, text + question.text)[: args.max_prompt_tokens] for question in questions]
    prompts = [prompts[i % len(prompts)] for i in range(args.requests)]
    eos = eos_token_ids(args.model)
    settings = {
        "model": str(args.model),
        "model_hash": hash_model(args.model, "openvino_model"),
        "precision": args.precision,
        "questions": args.questions,
        "questions_sha256": hash_questions(args.questions, args.seed),
        "max_prompt_tokens": args.max_prompt_tokens,
        "shared_prompt": args.shared_prompt,
        "requests": args.requests,
        "new_tokens": args.new_tokens,
        "seed": args.seed,
        **environment(),
    }
    print("\n".join(f"{name}: {value}" for name, value in settings.items()))
    systems = {name: SYSTEMS[name](args.model, args.precision, eos) for name in args.systems}
    expected = {}
    for name, system in systems.items():
        drive(system, prompts[:2], 4, None, 2)
        kind = name.split("-")[0]
        if kind not in expected:
            expected[kind] = [request.tokens for request in drive(system, prompts, args.new_tokens, None, 1)[0]]
    draws = np.random.default_rng(args.seed)
    gaps = draws.exponential(size=args.requests).cumsum()
    loads: list[tuple[str, Sequence[float] | None, int]] = [(f"{users} users", None, users) for users in args.users]
    loads += [(f"{rate:g}/s", list(gaps / rate), 0) for rate in args.rates]
    rows: list[ServingFigures] = []
    names = list(systems)
    with contextlib.suppress(KeyboardInterrupt):  # the loads that are done are reported
        for number, (load, arrivals, users) in enumerate(tqdm(loads, unit="load")):
            found = {}
            for name in names[number % len(names) :] + names[: number % len(names)]:
                systems[name].forget()
                requests, seconds = drive(systems[name], prompts, args.new_tokens, arrivals, users)
                found[name] = figures(name, load, requests, seconds, expected[name.split("-")[0]])
            rows += [found[name] for name in names]
    if not rows:
        raise SystemExit("Interrupted before the first load was done.")
    print(f"\nGreedy, at most {args.new_tokens} new tokens each, one run of each load.\n\n{table(rows)}")
    if args.plot is not None:
        draw(rows, args.plot, args.model.name)
    if args.out is not None:
        write_results(args.out, settings, figures=[asdict(row) for row in rows])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of the export of a decoder.")
    parser.add_argument(
        "--questions", default=CODE_EDITING, metavar="FILE", help=f"{CODE_EDITING!r}, or a .jsonl file of Spec-Bench."
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="Precision of our engine.")
    parser.add_argument("--users", type=int, nargs="*", default=USERS, help="Numbers of users of the closed loop.")
    parser.add_argument("--rates", type=float, nargs="*", default=[], help="Requests per second of open loops.")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS), help="Default: all.")
    parser.add_argument("--requests", type=int, default=64, metavar="N", help="Number of requests of each run.")
    parser.add_argument("--new-tokens", type=int, default=64, metavar="N", help="Most new tokens of each request.")
    parser.add_argument("--max-prompt-tokens", type=int, metavar="N", help="Prompts are cut to N tokens.")
    parser.add_argument(
        "--shared-prompt", type=int, default=0, metavar="N", help="How often a text of 40 words precedes each prompt."
    )
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the prompts and arrivals.")
    parser.add_argument("--plot", type=Path, help="Image file for the plot.")
    parser.add_argument("--out", type=Path, help="JSON file for the results.")
    args = parser.parse_args(argv)
    if min(*args.users, args.requests, args.new_tokens) < 1 or min([1.0, *args.rates]) <= 0:
        parser.error("--users, --requests and --new-tokens must be at least 1, --rates above 0")
    return args


if __name__ == "__main__":
    main()
