"""The questions of a benchmark: of Spec-Bench (https://github.com/hemingkx/Spec-Bench), read from the user's file, the
code-editing prompts, or the open questions.
"""

import hashlib
import json
from dataclasses import astuple
from pathlib import Path

from optimum_dynexec.benchmark.prompts import SPEC_BENCH_TASKS, Question, spec_bench_question
from optimum_dynexec.data.texts import chat_prompts

from . import code_editing, open_questions


CODE_EDITING = "code-editing"
OPEN = "open"
# The questions that need no file.
MADE = (CODE_EDITING, OPEN)
TASKS = (*SPEC_BENCH_TASKS, *code_editing.TASKS, open_questions.TASK)


def load_questions(source: str, per_task: int, seed: int = 0) -> list[Question]:
    """
    Makes or reads the first turns of `per_task` questions of each task, evenly spaced: 10 of 80 means every 8th.

    Args:
        source (`str`):
            `"code-editing"`, `"open"`, or a .jsonl file with `question_id`, `category` and `turns`.
        per_task (`int`): maximum number of questions of a task.
        seed (`int`): random seed of the code-editing prompts.

    Raises:
        `ValueError`: if a category is not known, or there are no questions.
    """
    by_task: dict[str, list[Question]] = {task: [] for task in TASKS}
    for question in _all_questions(source, seed):
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


def _all_questions(source: str, seed: int) -> list[Question]:
    if source == CODE_EDITING:
        return code_editing.make_questions(seed=seed)
    return open_questions.make_questions() if source == OPEN else _read(Path(source))


def _read(path: Path) -> list[Question]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [spec_bench_question(json.loads(line)) for line in lines if line.strip()]


def hash_questions(source: str, seed: int = 0) -> str:
    """Hash of the file, or of the prompts. Those of code editing depend on what is installed."""
    if source in MADE:
        data = json.dumps([astuple(question) for question in _all_questions(source, seed)]).encode()
    else:
        data = Path(source).read_bytes()
    return hashlib.sha256(data).hexdigest()[:16]


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of `text` as the user's message, in the tokenizer's chat template if it has one."""
    return list(chat_prompts([text], tokenizer)[0])
