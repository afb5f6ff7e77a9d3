"""From records to tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from .records import Key, Records
from .spec_bench import TASKS, Question
from .systems import Generation, System


PEER = "genai-plain"


@dataclass(frozen=True)
class Figures:
    """
    One system over some questions. Of several repeats of a question, medians are taken.

    Args:
        system (`str`): its name.
        questions (`int`): how many.
        tokens (`int`): generated ids of all questions, EOS included.
        seconds (`float`): the calls from end to end, summed.
        tokens_per_second (`float`): `tokens / seconds`.
        decode_tokens_per_second (`float`): without the first token of each question and the time until it.
        first_token_seconds (`float`): mean time until the first token.
        mean_accepted_length (`float`): tokens per forward pass of the model that gave tokens; 1 is plain decoding.
        acceptance_rate (`float`, *optional*): share of the proposed tokens that were accepted.
        equal (`int`, *optional*):
            questions, all repeats of which gave the tokens of the same engine's plain decoding; `None` if that was not
            run.
    """

    system: str
    questions: int
    tokens: int
    seconds: float
    tokens_per_second: float
    decode_tokens_per_second: float
    first_token_seconds: float
    mean_accepted_length: float
    acceptance_rate: float | None
    equal: int | None


def complete_questions(
    records: Records, questions: Sequence[Question], systems: Sequence[System], repeats: int
) -> list[Question]:
    """The questions that every system has answered in every repeat: only those are compared."""
    return [
        question
        for question in questions
        if all(
            Key(system.name, question.question_id, repeat) in records
            for system in systems
            for repeat in range(repeats)
        )
    ]


def figures(records: Records, questions: Sequence[Question], system: System, repeats: int) -> Figures:
    """Sums up one system over `questions`."""
    tokens, seconds, decode_seconds, steps = 0, 0.0, 0.0, 0
    proposed: list[int | None] = []
    accepted: list[int | None] = []
    for question in questions:
        runs = _runs(records, system.name, question, repeats)
        # The tokens of a repeat are those of the first, unless a system is not deterministic.
        tokens += len(runs[0].tokens)
        seconds += median(run.seconds for run in runs)
        decode_seconds += median(run.seconds - run.first_token_seconds for run in runs)
        steps += runs[0].steps
        proposed.append(runs[0].proposed)
        accepted.append(runs[0].accepted)
    total_proposed = None if None in proposed else sum(filter(None, proposed))
    return Figures(
        system=system.name,
        questions=len(questions),
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        decode_tokens_per_second=(tokens - len(questions)) / decode_seconds if decode_seconds > 0 else 0.0,
        first_token_seconds=(seconds - decode_seconds) / len(questions),
        mean_accepted_length=tokens / steps,
        acceptance_rate=sum(filter(None, accepted)) / total_proposed if total_proposed else None,
        equal=equal_questions(records, questions, system.name, system.reference, repeats),
    )


def equal_questions(
    records: Records, questions: Sequence[Question], system: str, reference: str, repeats: int
) -> int | None:
    """How many questions `system` answered with the tokens of `reference`; `None` if that did not answer them all."""
    equal = 0
    for question in questions:
        expected = _runs(records, reference, question, repeats)
        if not expected:
            return None
        equal += all(run.tokens == expected[0].tokens for run in _runs(records, system, question, repeats))
    return equal


def _runs(records: Records, system: str, question: Question, repeats: int) -> list[Generation]:
    keys = [Key(system, question.question_id, repeat) for repeat in range(repeats)]
    return [records.generations[key] for key in keys if key in records]


def summarize(
    records: Records, questions: Sequence[Question], systems: Sequence[System], repeats: int
) -> dict[str, list[Figures]]:
    """Figures of all systems, overall and by task, over the questions that all of them have answered."""
    done = complete_questions(records, questions, systems, repeats)
    groups = {"overall": done, **{task: [q for q in done if q.task == task] for task in TASKS}}
    return {
        name: [figures(records, group, system, repeats) for system in systems]
        for name, group in groups.items()
        if group
    }


def best_peer(rows: Sequence[Figures]) -> Figures | None:
    """The fastest setting of openvino_genai."""
    return max(
        (row for row in rows if row.system.startswith("genai-")), key=lambda row: row.tokens_per_second, default=None
    )


def group_table(rows: Sequence[Figures]) -> str:
    """The table of one group of questions, as Markdown."""
    plain = next((row for row in rows if row.system == PEER), None)
    best = best_peer(rows)
    table = [
        [
            row.system,
            f"{row.tokens_per_second:.1f}",
            f"{row.decode_tokens_per_second:.1f}",
            _ratio(row, plain),
            _ratio(row, best),
            f"{row.first_token_seconds * 1e3:.0f}",
            f"{row.mean_accepted_length:.2f}",
            "" if row.acceptance_rate is None else f"{row.acceptance_rate:.0%}",
            "" if row.equal is None else f"{row.equal} of {row.questions}",
            str(row.tokens),
        ]
        for row in rows
    ]
    best_header = "x best genai" if best is None else f"x {best.system}"
    header = ["system", "tokens/s", "decode only", f"x {PEER}", best_header]
    header += ["first token ms", "accepted length", "acceptance", "= own plain", "tokens"]
    return markdown(header, table)


def task_table(groups: dict[str, list[Figures]]) -> str:
    """Tokens per second against openvino_genai's plain decoding, systems by groups."""
    names = list(groups)
    plain = {name: next((row for row in groups[name] if row.system == PEER), None) for name in names}
    table = [
        [row.system, *(_ratio(groups[name][index], plain[name]) for name in names)]
        for index, row in enumerate(groups[names[0]])
    ]
    return markdown(["system", *names], table)


def _ratio(row: Figures, base: Figures | None) -> str:
    return "" if base is None else f"{row.tokens_per_second / base.tokens_per_second:.2f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([line(header), rule, *map(line, rows)])


def report(groups: dict[str, list[Figures]]) -> str:
    """All tables."""
    parts = []
    for name, rows in groups.items():
        parts.append(f"### {name}, {rows[0].questions} question(s)\n\n{group_table(rows)}")
    if len(groups) > 2:
        parts.append(f"### End to end, ratio to {PEER}\n\n{task_table(groups)}")
    return "\n\n".join(parts)


def as_json(groups: dict[str, list[Figures]]) -> dict[str, list[dict]]:
    """The figures as JSON can hold them."""
    return {name: [asdict(row) for row in rows] for name, rows in groups.items()}
