"""What texts of earlier requests save: requests of which half are near-copies of earlier ones.

    python -m benchmarks.repeated --model DIRECTORY

Each question is asked twice, in a random order. The second time, the words "Thank you!" follow it, so that prompt and
answer are similar, but not the same. The questions are answered greedily three times: without drafts; with suffix
drafts where each request has a scope of its own, so that nothing is remembered; and with one scope for all.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.decoding import new_memory, timed_generate
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.generation import Generation, generation_figures
from optimum_dynexec.benchmark.markdown import markdown

from .questions import encode, load_questions


NEAR_COPY = "{}\n\nThank you!"
PLAIN, OWN_SCOPE, ONE_SCOPE = "no drafts", "a scope for each request", "one scope"


@dataclass(frozen=True)
class Request:
    """
    A request.

    Args:
        text (`str`): message of the user.
        is_copy (`bool`): whether it is a near-copy of an earlier request.
    """

    text: str
    is_copy: bool


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    for name, value in environment().items():
        print(f"{name}: {value}")
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision=args.precision)
    questions = load_questions(args.questions, args.max_questions_per_category)[: args.requests // 2]
    requests = traffic([question.text for question in questions], args.seed)
    memories = {name: new_memory(model) for name in (PLAIN, OWN_SCOPE, ONE_SCOPE)}
    answers: dict[str, list[Generation]] = {name: [] for name in memories}
    for index, request in enumerate(tqdm(requests, "requests")):
        ids = encode(tokenizer, request.text)
        # In turns, so that a slow phase of the machine meets all of them.
        for name in sorted(memories, key=lambda name: (list(memories).index(name) + index) % len(memories)):
            speculation = {"speculation": "off" if name == PLAIN else "auto"}
            if name == OWN_SCOPE:
                speculation["draft_scope"] = str(index)
            answers[name].append(
                timed_generate(model, memories[name], ids, args.max_new_tokens, forget_texts=False, **speculation)
            )
    print(f"\n{len(requests)} requests, of which {sum(r.is_copy for r in requests)} are near-copies\n")
    print(table(requests, answers))
    for name, memory in memories.items():
        print(f"tokens that are remembered, {name}: {memory.text_tokens}")


def traffic(texts: Sequence[str], seed: int) -> list[Request]:
    """Each text and its near-copy, in a random order in which the near-copy comes later."""
    order = [text for text in texts for _ in range(2)]
    random.Random(seed).shuffle(order)
    seen: set[str] = set()
    requests = []
    for text in order:
        requests.append(Request(NEAR_COPY.format(text) if text in seen else text, text in seen))
        seen.add(text)
    return requests


def table(requests: Sequence[Request], answers: dict[str, list[Generation]]) -> str:
    """Tokens per pass and speed, of first requests and of near-copies."""
    cells = []
    for name, generations in answers.items():
        row = [name]
        for is_copy in (False, True):
            chosen = [index for index, request in enumerate(requests) if request.is_copy == is_copy]
            figures, plain = (
                generation_figures([[answers[system][index]] for index in chosen]) for system in (name, PLAIN)
            )
            row.append(f"{figures.mean_accepted_length:.2f}")
            row.append(f"{figures.decode_tokens_per_second / plain.decode_tokens_per_second:.2f}")
        equal = sum(one.tokens == other.tokens for one, other in zip(generations, answers[PLAIN], strict=True))
        cells.append([*row, f"{equal} of {len(requests)}"])
    header = ["suffix drafts", "first: tokens per pass", "first: decoding x plain"]
    return markdown([*header, "copy: tokens per pass", "copy: decoding x plain", "same as plain"], cells)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export.")
    parser.add_argument("--questions", default="open", help="open, code-editing, or a .jsonl file of Spec-Bench.")
    parser.add_argument("--precision", default="auto", help="Precision of the model.")
    parser.add_argument("--requests", type=int, default=50, metavar="N", help="Number of requests.")
    parser.add_argument(
        "--max-questions-per-category", type=int, default=25, metavar="N", help="Questions of each category."
    )
    parser.add_argument("--max-new-tokens", type=int, default=100, metavar="N", help="New tokens of each answer.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the order.")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
