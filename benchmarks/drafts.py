"""How much a draft model could gain: recorded answers, its agreement with them, and measured costs.

    python -m benchmarks.drafts --model DIRECTORY --draft DIRECTORY --questions spec_bench_questions.jsonl

Both models are exports with one vocabulary. The model answers the questions greedily. The draft model then reads each
answer once: its most probable token at each place is what it would have drafted there, because a draft is only
continued after tokens that were right. From this and the measured times of passes, the table computes the speed of
decoding, relative to plain decoding, with drafts of fixed lengths, with drafts that end at a token of low probability,
and with drafts that are as long as they are right, as no rule can know. With `--measure`, the questions are also
answered with `speculation="auto"` and the draft model, whose speed the table then compares with the computed ones.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.decoding import new_memory, timed_generate
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.generation import Generation, generation_figures
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.data.continuations import ContinuationArguments, Text, own_continuations
from optimum_dynexec.native import _C

from .questions import encode, load_questions


LENGTHS = (1, 2, 3, 4, 6, 8)
THRESHOLDS = (0.4, 0.6, 0.7, 0.8, 0.9)
MOST_TOKENS = 8
OVERALL = "overall"
# The draft model reads answers in passes of so many tokens.
ROWS = 256


@dataclass(frozen=True)
class Recorded:
    """
    An answer, and what the draft model thinks of it.

    Args:
        right (`np.ndarray`): bool `[tokens]`, whether the most probable token of the draft model is the answer's.
        probability (`np.ndarray`): float32 `[tokens]`, probability of the draft model's most probable token.
    """

    right: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Costs:
    """
    Measured times.

    Args:
        passes (`Sequence[tuple[int, float]]`): seconds of a pass of the model by its number of rows.
        draft (`float`): seconds that the draft model takes for one token.
    """

    passes: Sequence[tuple[int, float]]
    draft: float

    def seconds(self, draft_tokens: int) -> float:
        """The seconds of a step that drafts and verifies so many tokens."""
        rows, seconds = zip(*self.passes, strict=True)
        return float(np.interp(1 + draft_tokens, rows, seconds)) + draft_tokens * self.draft


# The number of tokens to draft at a place of an answer.
Policy = Callable[[Recorded, int], int]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    for name, value in environment().items():
        print(f"{name}: {value}")
    questions = load_questions(args.questions, args.max_questions_per_category)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision=args.precision)
    draft = DynExecModelForCausalLM.from_pretrained(args.draft, precision="fast")
    paged, paged_draft = model.engine.paged_model, draft.engine.paged_model
    costs = Costs(paged.costs, paged_draft.costs[0][1])  # while nothing else runs
    measured: dict[str, tuple[list[Generation], list[Generation]]] = {}
    greedy = ContinuationArguments(max_new_tokens=args.max_new_tokens, max_prompt_tokens=10**6, sampled_every=0)
    groups: dict[str, list[Recorded]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for task in dict.fromkeys(question.task for question in questions):
            prompts = [encode(tokenizer, question.text) for question in questions if question.task == task]
            texts = own_continuations(model, prompts, args.answers or directory, greedy)
            groups[task] = [record(paged_draft, text, args.draft_window) for text in tqdm(texts, task)]
            if args.measure:
                measured[task] = measure(model, draft, prompts, args)
    print(f"\nms of a pass by rows: {', '.join(f'{n}: {1e3 * s:.1f}' for n, s in costs.passes)}")
    print(f"ms of a draft token: {1e3 * costs.draft:.1f}\n")
    print(table({**groups, OVERALL: [recorded for group in groups.values() for recorded in group]}, costs, measured))


def record(paged: _C.PagedModel, text: Text, window: int) -> Recorded:
    """
    Reads an answer with the draft model.

    Args:
        paged (`_C.PagedModel`): draft model.
        text ([`Text`]): prompt and answer.
        window (`int`): number of tokens of the prompt that it reads at most.
    """
    answer = text.tokens[text.first :]
    tokens = text.tokens[max(0, text.first - window) : -1]
    sequence = _C.CachedSequence(paged)
    rows = [sequence.forward(tokens[begin : begin + ROWS]) for begin in range(0, len(tokens), ROWS)]
    logits = torch.from_numpy(np.concatenate(rows)[-len(answer) :])
    probability, guess = logits.softmax(-1).max(-1)
    return Recorded((guess == torch.tensor(answer)).numpy(), probability.numpy())


def measure(
    model: DynExecModelForCausalLM, draft: DynExecModelForCausalLM, prompts: list[list[int]], args: argparse.Namespace
) -> tuple[list[Generation], list[Generation]]:
    """Answers prompts with plain decoding, and with `auto` and the draft model, in turns."""
    plain: list[Generation] = []
    auto: list[Generation] = []
    off, memory = new_memory(model), new_memory(model)
    for prompt in tqdm(prompts, "measured"):
        plain.append(timed_generate(model, off, prompt, args.max_new_tokens, speculation="off"))
        auto.append(
            timed_generate(
                model,
                memory,
                prompt,
                args.max_new_tokens,
                speculation="auto",
                assistant_model=draft,
                draft_window=args.draft_window,
            )
        )
    return plain, auto


def seconds_of(recorded: Recorded, policy: Policy, costs: Costs) -> float:
    """The time of decoding an answer."""
    place, seconds, tokens = 0, 0.0, len(recorded.right)
    while place < tokens:
        drafted = min(policy(recorded, place), tokens - place - 1)
        seconds += costs.seconds(drafted)
        place += 1 + _right(recorded, place, drafted)
    return seconds


def fixed(length: int) -> Policy:
    """Drafts of one length."""
    return lambda recorded, place: length


def until(threshold: float) -> Policy:
    """Drafts of up to [`MOST_TOKENS`] tokens that end after a token with a smaller probability."""

    def policy(recorded: Recorded, place: int) -> int:
        unsure = np.flatnonzero(recorded.probability[place : place + MOST_TOKENS] < threshold)
        return int(unsure[0]) + 1 if len(unsure) else MOST_TOKENS

    return policy


def best(costs: Costs) -> Policy:
    """Drafts that are right, of the length that takes the least time for a token."""

    def policy(recorded: Recorded, place: int) -> int:
        lengths = range(_right(recorded, place, MOST_TOKENS) + 1)
        return min(lengths, key=lambda length: costs.seconds(length) / (1 + length))

    return policy


def table(
    groups: dict[str, list[Recorded]],
    costs: Costs,
    measured: dict[str, tuple[list[Generation], list[Generation]]] | None = None,
) -> str:
    """The agreement and the speed of each policy, relative to plain decoding, for each group of answers."""
    policies = {
        **{f"{length} tokens": fixed(length) for length in LENGTHS},
        **{f"until p < {threshold}": until(threshold) for threshold in THRESHOLDS},
        "best possible": best(costs),
    }
    agreement = [float(np.mean(np.concatenate([r.right for r in group]))) for group in groups.values()]
    cells = [["agreement", *(f"{share:.3f}" for share in agreement)]]
    for name, policy in policies.items():
        row = [name]
        for group in groups.values():
            plain = sum(seconds_of(recorded, fixed(0), costs) for recorded in group)
            row.append(f"{plain / sum(seconds_of(recorded, policy, costs) for recorded in group):.2f}")
        cells.append(row)
    if measured:
        pairs = list(measured.values())
        whole = ([one for plain, _ in pairs for one in plain], [one for _, auto in pairs for one in auto])
        row = ["auto, measured"]
        for name in groups:
            plain_speed, auto_speed = (
                generation_figures([[one] for one in answers]).decode_tokens_per_second
                for answers in (whole if name == OVERALL else measured[name])
            )
            row.append(f"{auto_speed / plain_speed:.2f}")
        cells.append(row)
    return markdown(["drafts", *groups], cells)


def _right(recorded: Recorded, place: int, drafted: int) -> int:
    guesses = recorded.right[place : place + drafted]
    wrong = np.flatnonzero(~guesses)
    return int(wrong[0]) if len(wrong) else len(guesses)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export.")
    parser.add_argument("--draft", type=Path, required=True, help="Directory of the export of a draft model.")
    parser.add_argument("--questions", required=True, help="code-editing, or a .jsonl file of Spec-Bench.")
    parser.add_argument("--precision", default="auto", help="Precision of the model.")
    parser.add_argument(
        "--draft-window", type=int, default=256, metavar="N", help="Tokens of a prompt that the draft model reads."
    )
    parser.add_argument(
        "--max-questions-per-category", type=int, default=10, metavar="N", help="Questions of each category."
    )
    parser.add_argument("--max-new-tokens", type=int, default=160, metavar="N", help="New tokens of each answer.")
    parser.add_argument("--measure", action="store_true", help="Measure `auto` with the draft model too.")
    parser.add_argument("--answers", type=Path, help="Directory that keeps the answers, from which a run resumes.")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
