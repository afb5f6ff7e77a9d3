"""Makes tables from records."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean

from optimum_dynexec.benchmark.generation import Generation, GenerationFigures, count_equal, generation_figures
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.benchmark.prompts import Question
from optimum_dynexec.benchmark.records import Key, Records

from .questions import TASKS
from .systems import System


# openvino_genai with OpenVINO's defaults, and with the properties of our exact mode.
PEERS = ("genai-plain", "genai-plain-f32")
PEER = PEERS[0]
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
        prompt_tokens (`float`): mean number of tokens in a prompt.
        slowest (`float`, *optional*):
            The smallest ratio of its speed to that of the same engine's plain decoding, of all questions; `None` if
            plain decoding was not run.
    """

    system: str
    questions: int
    equal: int | None
    prompt_tokens: float
    slowest: float | None

    @property
    def prefill_tokens_per_second(self) -> float:
        """Tokens of the prompts by the time until the first token."""
        return self.prompt_tokens / self.first_token_seconds


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


def figures(
    records: Answers, questions: Sequence[Question], system: System, repeats: int, prompt_tokens: Mapping[str, int]
) -> Figures:
    """Summarises one system over `questions`, whose prompts have `prompt_tokens` by id."""
    return Figures(
        **asdict(generation_figures([_runs(records, system.name, question, repeats) for question in questions])),
        system=system.name,
        questions=len(questions),
        equal=equal_questions(records, questions, system.name, system.reference, repeats),
        prompt_tokens=mean(prompt_tokens[question.question_id] for question in questions),
        slowest=slowest_question(records, questions, system.name, system.reference, repeats),
    )


def slowest_question(
    records: Answers, questions: Sequence[Question], system: str, reference: str, repeats: int
) -> float | None:
    """The smallest ratio of the speeds of two systems on one question; `None` if `reference` did not answer all."""
    ratios = []
    for question in questions:
        plain = _runs(records, reference, question, repeats)
        if not plain:
            return None
        speeds = [generation_figures([runs]) for runs in (_runs(records, system, question, repeats), plain)]
        ratios.append(speeds[0].tokens_per_second / speeds[1].tokens_per_second)
    return min(ratios)


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
    records: Answers,
    questions: Sequence[Question],
    systems: Sequence[System],
    repeats: int,
    prompt_tokens: Mapping[str, int],
) -> dict[str, list[Figures]]:
    """Figures of all systems, overall and by task, over the questions that all of them have answered."""
    done = complete_questions(records, questions, systems, repeats)
    groups = {"overall": done, **{task: [q for q in done if q.task == task] for task in TASKS}}
    return {
        name: [figures(records, group, system, repeats, prompt_tokens) for system in systems]
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
            f"{row.prefill_tokens_per_second:.0f}",
            f"{row.first_token_seconds * 1e3:.0f}",
            f"{row.mean_accepted_length:.2f}",
            "" if row.acceptance_rate is None else f"{row.acceptance_rate:.0%}",
            "" if row.equal is None else f"{row.equal} of {row.questions}",
            "" if row.slowest is None else f"{row.slowest:.2f}",
            str(row.tokens),
        ]
        for row in rows
    ]
    best_header = "x best genai" if best is None else f"x {best.system}"
    header = ["system", "tokens/s", "decode only", f"x {PEER}", best_header]
    header += ["prefill tokens/s", "first token ms", "accepted length", "acceptance rate", "same as plain"]
    header += ["slowest question x plain", "tokens"]
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


def _ratio(row: Figures, base: Figures | None, measure: str = "tokens_per_second") -> str:
    if base is None or not getattr(base, measure):
        return ""
    return f"{getattr(row, measure) / getattr(base, measure):.2f}"


def ratio_tables(rows: Sequence[Figures]) -> str:
    """Our engine relative to openvino_genai's best setting of each kind and set of properties, as Markdown."""
    parts = []
    measures = {
        "End to end": "tokens_per_second",
        "Decode only": "decode_tokens_per_second",
        "Prefill": "prefill_tokens_per_second",
    }
    for title, measure in measures.items():
        best: dict[tuple[str, bool], Figures] = {}
        for row in rows:
            kind = _kind(row.system)
            if kind is not None and (kind not in best or getattr(row, measure) > getattr(best[kind], measure)):
                best[kind] = row
        ours = [row for row in rows if _kind(row.system) is None]
        if not ours or not best:
            return ""
        columns = sorted(best.values(), key=lambda row: (row.system.endswith("-f32"), rows.index(row)))
        cells = [[row.system, *(_ratio(row, column, measure) for column in columns)] for row in [*ours, *columns]]
        header = [title, *(f"x {row.system}" for row in columns)]
        parts.append(f"### {title}, ratios to the best settings of openvino_genai\n\n{markdown(header, cells)}")
    return "\n\n".join(parts)


def _kind(system: str) -> tuple[str, bool] | None:
    if not system.startswith("genai-"):
        return None
    return system.split("-")[1], system.endswith("-f32")


def report(groups: dict[str, list[Figures]]) -> str:
    """All tables."""
    parts = []
    for name, rows in groups.items():
        parts.append(f"### {name}, {rows[0].questions} question(s)\n\n{group_table(rows)}")
    if len(groups) > 2:
        parts.append(f"### End to end, ratio to {PEER}\n\n{task_table(groups)}")
    parts.append(ratio_tables(next(iter(groups.values()))))
    return "\n\n".join(filter(None, parts))


def as_json(groups: dict[str, list[Figures]]) -> dict[str, list[dict]]:
    """The figures in a form for JSON."""
    return {name: [asdict(row) for row in rows] for name, rows in groups.items()}
