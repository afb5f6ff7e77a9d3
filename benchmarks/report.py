"""Makes tables from records."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from optimum_dynexec.benchmark.generation import Generation, GenerationFigures, count_equal, generation_figures
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.benchmark.records import Key, Records

from .spec_bench import TASKS, Question
from .systems import System


PEER = "genai-plain"
Answers = Records[Generation]


@dataclass(frozen=True)
class Figures(GenerationFigures):
    """
    Results of one system on some questions.

    Args:
        system (`str`): name of the system.
        questions (`int`): number of questions.
        equal (`int`, *optional*):
            Number of questions for which all repeats gave the tokens of the same engine's plain decoding; `None` if
            plain decoding was not run.
    """

    system: str
    questions: int
    equal: int | None


def complete_questions(
    records: Answers, questions: Sequence[Question], systems: Sequence[System], repeats: int
) -> list[Question]:
    """The questions that each system has answered in each repeat. Only these are compared."""
    return [
        question
        for question in questions
        if all(
            Key(system.name, question.question_id, repeat) in records
            for system in systems
            for repeat in range(repeats)
        )
    ]


def figures(records: Answers, questions: Sequence[Question], system: System, repeats: int) -> Figures:
    """Summarises one system over `questions`."""
    return Figures(
        **asdict(generation_figures([_runs(records, system.name, question, repeats) for question in questions])),
        system=system.name,
        questions=len(questions),
        equal=equal_questions(records, questions, system.name, system.reference, repeats),
    )


def equal_questions(
    records: Answers, questions: Sequence[Question], system: str, reference: str, repeats: int
) -> int | None:
    """The number of questions that `system` answered like `reference`; `None` if `reference` did not answer all."""
    expected = [_runs(records, reference, question, repeats) for question in questions]
    if not all(expected):
        return None
    return count_equal([_runs(records, system, question, repeats) for question in questions], expected)


def _runs(records: Answers, system: str, question: Question, repeats: int) -> list[Generation]:
    return records.runs(system, question.question_id)[:repeats]


def summarize(
    records: Answers, questions: Sequence[Question], systems: Sequence[System], repeats: int
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
    header += ["first token ms", "accepted length", "acceptance rate", "same as plain", "tokens"]
    return markdown(header, table)


def task_table(groups: dict[str, list[Figures]]) -> str:
    """Tokens per second relative to openvino_genai's plain decoding, systems by groups."""
    names = list(groups)
    plain = {name: next((row for row in groups[name] if row.system == PEER), None) for name in names}
    table = [
        [row.system, *(_ratio(groups[name][index], plain[name]) for name in names)]
        for index, row in enumerate(groups[names[0]])
    ]
    return markdown(["system", *names], table)


def _ratio(row: Figures, base: Figures | None) -> str:
    return "" if base is None else f"{row.tokens_per_second / base.tokens_per_second:.2f}"


def report(groups: dict[str, list[Figures]]) -> str:
    """All tables."""
    parts = []
    for name, rows in groups.items():
        parts.append(f"### {name}, {rows[0].questions} question(s)\n\n{group_table(rows)}")
    if len(groups) > 2:
        parts.append(f"### End to end, ratio to {PEER}\n\n{task_table(groups)}")
    return "\n\n".join(parts)


def as_json(groups: dict[str, list[Figures]]) -> dict[str, list[dict]]:
    """The figures in a form for JSON."""
    return {name: [asdict(row) for row in rows] for name, rows in groups.items()}
