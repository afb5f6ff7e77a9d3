"""The questions of a benchmark: of Spec-Bench (https://github.com/hemingkx/Spec-Bench), read from the user's file, or
the code-editing prompts.
"""

import hashlib
import json
from dataclasses import astuple
from pathlib import Path

from optimum_dynexec.benchmark.prompts import SPEC_BENCH_TASKS, Question, spec_bench_question
from optimum_dynexec.data.texts import chat_prompts

from . import code_editing


CODE_EDITING = "code-editing"
TASKS = (*SPEC_BENCH_TASKS, *code_editing.TASKS)


def load_questions(source: str, per_task: int, seed: int = 0) -> list[Question]:
    """
    Makes or reads the first turns of `per_task` questions of each task, evenly spaced: 10 of 80 means every 8th.

    Args:
        source (`str`): `"code-editing"`, or a .jsonl file with `question_id`, `category` and `turns`.
        per_task (`int`): maximum number of questions of a task.
        seed (`int`): random seed of the code-editing prompts.

    Raises:
        `ValueError`: if a category is neither one of Spec-Bench nor of code editing, or there are no questions.
    """
    by_task: dict[str, list[Question]] = {task: [] for task in TASKS}
    for question in code_editing.make_questions(seed=seed) if source == CODE_EDITING else _read(Path(source)):
        if question.task not in by_task:
            raise ValueError(f"{source}: {question.task!r} is not a category; accepted are {', '.join(TASKS)}")
        by_task[question.task].append(question)
    questions = []
    for rows in by_task.values():
        step = max(len(rows) // max(per_task, 1), 1)
        questions += rows[::step][:per_task]
    if not questions:
        raise ValueError(f"{source} contains no questions")
    return questions


def _read(path: Path) -> list[Question]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [spec_bench_question(json.loads(line)) for line in lines if line.strip()]


def hash_questions(source: str, seed: int = 0) -> str:
    """Hash of the file, or of the code-editing prompts, which depend on what is installed."""
    if source == CODE_EDITING:
        data = json.dumps([astuple(question) for question in code_editing.make_questions(seed=seed)]).encode()
    else:
        data = Path(source).read_bytes()
    return hashlib.sha256(data).hexdigest()[:16]


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of `text` as the user's message, in the tokenizer's chat template if it has one."""
    return list(chat_prompts([text], tokenizer)[0])
