"""Text generation for many requests at once: optimum-dynexec and openvino_genai's continuous batching.

    python -m benchmarks.batches --model DIRECTORY --questions code-editing --plot batches.png

DIRECTORY is the export of a decoder. Every request of a batch gets the same number of new tokens. On each batch, the
systems run one after the other, in rotating order. The time of a call for one new token is that of the prefill; the
rest is decoding.
"""

import argparse
import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import openvino as ov
import openvino_genai
import torch
from tqdm.auto import tqdm
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.directory.hashes import hash_model

from .genai_systems import DEVICE, PROPERTIES, scheduler_config
from .models import eos_token_ids
from .questions import CODE_EDITING, encode, hash_questions, load_questions
from .results import write_results


PRECISIONS = ("auto", "exact", "f32", "fast")
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
Batch = list[list[int]]


class BatchSystem(ABC):
    """An engine that answers several prompts at once, greedily."""

    @abstractmethod
    def __call__(self, batch: Batch, new_tokens: int) -> Batch:
        """Returns `new_tokens` tokens for each prompt of `batch`."""


class DynExecBatches(BatchSystem):
    """`DynExecModelForCausalLM` with one kind of speculation."""

    def __init__(self, model: DynExecModelForCausalLM, speculation: str, eos: list[int]):
        self.model = model
        self.options = {"speculation": speculation, "eos_token_id": eos, "pad_token_id": eos[0], "do_sample": False}

    def __call__(self, batch: Batch, new_tokens: int) -> Batch:
        longest = max(map(len, batch))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in batch])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in batch])
        lengths = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens}
        self.model.speculation_memory.forget_texts()  # of the same requests in an earlier run
        return self.model.generate(ids, attention_mask=mask, **lengths, **self.options)[:, longest:].tolist()


class DynExecThreads(BatchSystem):
    """`DynExecModelForCausalLM`, called from a thread for each prompt."""

    def __init__(self, model: DynExecModelForCausalLM, speculation: str, eos: list[int]):
        self.one = DynExecBatches(model, speculation, eos)

    def __call__(self, batch: Batch, new_tokens: int) -> Batch:
        with ThreadPoolExecutor(len(batch)) as pool:
            return [rows[0] for rows in pool.map(lambda prompt: self.one([prompt], new_tokens), batch)]


class GenaiBatches(BatchSystem):
    """`openvino_genai.ContinuousBatchingPipeline` with one set of properties."""

    def __init__(self, directory: Path, properties: dict[str, str], eos: list[int]):
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(directory), scheduler_config(prefix_caching=False), DEVICE, properties
        )
        self.eos = eos

    def __call__(self, batch: Batch, new_tokens: int) -> Batch:
        config = openvino_genai.GenerationConfig()
        config.do_sample = False
        config.set_eos_token_id(self.eos[0])
        config.stop_token_ids = set(self.eos)
        config.max_new_tokens = config.min_new_tokens = new_tokens
        prompts = [ov.Tensor(np.array([row], dtype=np.int64)) for row in batch]
        results = self.pipeline.generate(prompts, [config] * len(batch))
        return [list(result.m_generation_ids[0]) for result in results]


@dataclass(frozen=True)
class BatchFigures:
    """
    Results of one system with one batch size, from medians over the repeats.

    Args:
        system (`str`): name of the system.
        batch_size (`int`): number of requests at once.
        tokens_per_second (`float`): new tokens of all requests by the time of the call.
        decode_tokens_per_second (`float`): the same without the first tokens and the prefill.
        prefill_tokens_per_second (`float`): tokens of the prompts by the time of a call for one new token.
        equal (`int`): number of requests with the tokens of the same engine's plain decoding.
    """

    system: str
    batch_size: int
    tokens_per_second: float
    decode_tokens_per_second: float
    prefill_tokens_per_second: float
    equal: int


REFERENCE = {"dynexec-auto": "dynexec-plain", "dynexec-threads": "dynexec-plain"}


def measure(systems: dict[str, BatchSystem], batch: Batch, new_tokens: int, repeats: int) -> list[BatchFigures]:
    """
    Times systems on one batch, interleaved.

    Args:
        systems (`dict[str, BatchSystem]`): systems by name.
        batch (`list[list[int]]`): token ids of the prompts.
        new_tokens (`int`): number of new tokens of each request, at least 2.
        repeats (`int`): number of runs of each system.
    """
    names = list(systems)
    seconds: dict[tuple[str, int], list[float]] = {}
    answers: dict[str, Batch] = {}
    for repeat in range(repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            for number in (1, new_tokens):
                start = time.perf_counter()
                answer = systems[name](batch, number)
                seconds.setdefault((name, number), []).append(time.perf_counter() - start)
            answers.setdefault(name, answer)
    rows = []
    for name in names:
        prefill, whole = (median(seconds[name, number]) for number in (1, new_tokens))
        reference = answers.get(REFERENCE.get(name, name), answers[name])
        rows.append(
            BatchFigures(
                system=name,
                batch_size=len(batch),
                tokens_per_second=len(batch) * new_tokens / whole,
                decode_tokens_per_second=len(batch) * (new_tokens - 1) / max(whole - prefill, 1e-9),
                prefill_tokens_per_second=sum(map(len, batch)) / prefill,
                equal=sum(row == expected for row, expected in zip(answers[name], reference, strict=True)),
            )
        )
    return rows


def table(rows: Sequence[BatchFigures]) -> str:
    """All batch sizes, as Markdown, with the ratio to each setting of openvino_genai and to our plain decoding."""
    by_key = {(row.batch_size, row.system): row for row in rows}
    bases = [name for name in dict.fromkeys(row.system for row in rows) if name not in REFERENCE]
    cells = [
        [
            str(row.batch_size),
            row.system,
            f"{row.tokens_per_second:.1f}",
            f"{row.decode_tokens_per_second:.1f}",
            f"{row.prefill_tokens_per_second:.0f}",
            *(f"{row.tokens_per_second / by_key[row.batch_size, base].tokens_per_second:.2f}" for base in bases),
            f"{row.equal} of {row.batch_size}",
        ]
        for row in rows
    ]
    header = ["batch", "system", "tokens/s", "decode only", "prefill tokens/s", *(f"x {base}" for base in bases)]
    return markdown([*header, "same as plain"], cells)


def draw(rows: Sequence[BatchFigures], path: Path, title: str) -> None:
    """Draws the tokens per second of each system over the batch size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == name]
        axes.plot([row.batch_size for row in own], [row.tokens_per_second for row in own], marker="o", label=name)
    sizes = sorted({row.batch_size for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="requests at once", ylabel="tokens per second", title=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    questions = load_questions(args.questions, max(args.batch_sizes), args.seed)
    random.Random(args.seed).shuffle(questions)
    prompts = [encode(tokenizer, question.text)[: args.max_prompt_tokens] for question in questions]
    eos = eos_token_ids(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision=args.precision)
    systems: dict[str, BatchSystem] = {
        "dynexec-plain": DynExecBatches(model, "off", eos),
        "dynexec-auto": DynExecBatches(model, "auto", eos),
        "dynexec-threads": DynExecThreads(model, "off", eos),
        **{f"genai-plain{name}": GenaiBatches(args.model, values, eos) for name, values in PROPERTIES.items()},
    }
    settings = {
        "model": str(args.model),
        "model_hash": hash_model(args.model, "openvino_model"),
        "precision": args.precision,
        "precision_used": getattr(model, "precision", args.precision),
        "questions": args.questions,
        "questions_sha256": hash_questions(args.questions, args.seed),
        "max_prompt_tokens": args.max_prompt_tokens,
        "new_tokens": args.new_tokens,
        "repeats": args.repeats,
        "seed": args.seed,
        **environment(),
    }
    print("\n".join(f"{name}: {value}" for name, value in settings.items()))
    for system in systems.values():
        system(prompts[:2], 4)
    rows: list[BatchFigures] = []
    with contextlib.suppress(KeyboardInterrupt):  # the batch sizes that are done are reported
        for size in tqdm(args.batch_sizes, unit="batch size"):
            # There may be fewer prompts than requests.
            batch = [prompts[index % len(prompts)] for index in range(size)]
            rows += measure(systems, batch, args.new_tokens, args.repeats)
    if not rows:
        raise SystemExit("Interrupted before the first batch size was done.")
    print(f"\nMedians of {args.repeats} run(s); greedy, {args.new_tokens} new tokens each.\n\n{table(rows)}")
    if args.plot is not None:
        draw(rows, args.plot, f"{args.model.name}, {args.new_tokens} new tokens")
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
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES, help="Numbers of requests at once.")
    parser.add_argument("--new-tokens", type=int, default=64, metavar="N", help="New tokens of each request.")
    parser.add_argument("--max-prompt-tokens", type=int, metavar="N", help="Prompts are cut to N tokens.")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="Number of runs of each batch.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the prompts.")
    parser.add_argument("--plot", type=Path, help="Image file for the plot.")
    parser.add_argument("--out", type=Path, help="JSON file for the results.")
    args = parser.parse_args(argv)
    if min(*args.batch_sizes, args.repeats) < 1 or args.new_tokens < 2:
        parser.error("batch sizes and --repeats must be at least 1, --new-tokens at least 2")
    return args


if __name__ == "__main__":
    main()
