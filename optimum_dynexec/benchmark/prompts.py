"""Prompts for decoders: rows with a text, or the questions of Spec-Bench."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.texts import read_rows, row_text, split_source


# https://github.com/hemingkx/Spec-Bench: its tasks, and the categories of its questions from MT-bench.
SPEC_BENCH_TASKS = ("mt_bench", "translation", "summarization", "qa", "math_reasoning", "rag")
MT_BENCH = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
NO_TASK = "prompts"


@dataclass(frozen=True)
class Question:
    """
    One prompt.

    Args:
        question_id (`str`): id in the file, or the number of the row.
        task (`str`): task that the prompt is reported under.
        text (`str`): text of the prompt, or of the first turn.
    """

    question_id: str
    task: str
    text: str


def spec_bench_question(row: dict[str, Any]) -> Question:
    """Makes a question from a row with `question_id`, `category` and `turns`."""
    task = "mt_bench" if row["category"] in MT_BENCH else row["category"]
    return Question(str(row["question_id"]), task, row["turns"][0])


def read_prompts(sources: Sequence[str | Path], limit: int | None = None) -> list[Question]:
    """
    Reads prompts.

    Args:
        sources (`Sequence[str or Path]`):
            Sources as accepted by [`~data.texts.read_texts`]. Rows with `turns` are read as questions of Spec-Bench.
        limit (`int`, *optional*):
            Maximum number of prompts. They are evenly spaced over the sources, so that all categories are covered.

    Raises:
        `ValueError`: if a file or column does not exist, there is no text, or two questions have the same id; the
            message says what there is.
    """
    questions = []
    for number, source in enumerate(sources):
        name, column = split_source(source)
        for index, row in enumerate(read_rows(name)):
            if isinstance(row, dict) and {"question_id", "category", "turns"} <= {*row} and not column:
                question = spec_bench_question(row)
            else:
                question = Question(str(index), NO_TASK, row_text(row, column, name))
            # Sources may use the same ids.
            unique = question.question_id if number == 0 else f"{number}:{question.question_id}"
            questions.append(Question(unique, question.task, question.text))
    questions = [question for question in questions if question.text.strip()]
    if not questions:
        raise ValueError(f"there is no prompt in {[str(source) for source in sources]}")
    if limit is not None and limit < len(questions):
        questions = [questions[index] for index in np.linspace(0, len(questions) - 1, limit).round().astype(int)]
    if len({question.question_id for question in questions}) < len(questions):
        raise ValueError(f"two questions in {[str(source) for source in sources]} have the same `question_id`")
    return questions
