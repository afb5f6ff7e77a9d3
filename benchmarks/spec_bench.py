"""The questions of Spec-Bench (https://github.com/hemingkx/Spec-Bench), read from a file that the user has."""

import json
from dataclasses import dataclass
from pathlib import Path


TASKS = ("mt_bench", "translation", "summarization", "qa", "math_reasoning", "rag")
MT_BENCH = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")


@dataclass(frozen=True)
class Question:
    """
    One question.

    Args:
        question_id (`str`): as in the file.
        task (`str`): one of [`TASKS`].
        text (`str`): the first turn.
    """

    question_id: str
    task: str
    text: str


def load_questions(path: Path, per_task: int) -> list[Question]:
    """
    Reads the first turns of `per_task` questions of each task, evenly spaced: 10 of 80 are every 8th.

    Args:
        path (`Path`): a jsonl file with `question_id`, `category` and `turns`.
        per_task (`int`): most questions of one task.

    Raises:
        `ValueError`: if a category is not one of Spec-Bench's, or there are no questions.
    """
    by_task: dict[str, list[Question]] = {task: [] for task in TASKS}
    with path.open(encoding="utf-8") as file:
        for line in filter(str.strip, file):
            row = json.loads(line)
            task = "mt_bench" if row["category"] in MT_BENCH else row["category"]
            if task not in by_task:
                raise ValueError(f"{path}: {row['category']!r} is not a category of Spec-Bench")
            by_task[task].append(Question(str(row["question_id"]), task, row["turns"][0]))
    questions = []
    for rows in by_task.values():
        step = max(len(rows) // max(per_task, 1), 1)
        questions += rows[::step][:per_task]
    if not questions:
        raise ValueError(f"{path} has no questions")
    return questions


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of `text` as the user's message, in the tokenizer's chat template if it has one."""
    if tokenizer.chat_template is None:
        return tokenizer(text)["input_ids"]
    messages = [{"role": "user", "content": text}]
    encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return list(encoded["input_ids"])
