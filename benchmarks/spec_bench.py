"""The questions of Spec-Bench (https://github.com/hemingkx/Spec-Bench), read from the user's file."""

import json
from pathlib import Path

from optimum_dynexec.benchmark.prompts import SPEC_BENCH_TASKS as TASKS
from optimum_dynexec.benchmark.prompts import Question, spec_bench_question
from optimum_dynexec.data.texts import chat_prompts


def load_questions(path: Path, per_task: int) -> list[Question]:
    """
    Reads the first turns of `per_task` questions of each task, evenly spaced: 10 of 80 means every 8th.

    Args:
        path (`Path`): .jsonl file with `question_id`, `category` and `turns`.
        per_task (`int`): maximum number of questions of a task.

    Raises:
        `ValueError`: if a category is not one of Spec-Bench's, or there are no questions.
    """
    by_task: dict[str, list[Question]] = {task: [] for task in TASKS}
    with path.open(encoding="utf-8") as file:
        for line in filter(str.strip, file):
            question = spec_bench_question(json.loads(line))
            if question.task not in by_task:
                raise ValueError(f"{path}: {question.task!r} is not a category of Spec-Bench")
            by_task[question.task].append(question)
    questions = []
    for rows in by_task.values():
        step = max(len(rows) // max(per_task, 1), 1)
        questions += rows[::step][:per_task]
    if not questions:
        raise ValueError(f"{path} contains no questions")
    return questions


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of `text` as the user's message, in the tokenizer's chat template if it has one."""
    return list(chat_prompts([text], tokenizer)[0])
