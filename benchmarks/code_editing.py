"""Code-editing prompts, made from open-source Python that is installed here.

    python -m benchmarks.code_editing FILE

writes them in the form of Spec-Bench; `python -m benchmarks.llm --questions code-editing` makes them itself. Functions
of 10 to 60 lines are drawn from the standard library and from packages with permissive licences. The same versions of
Python and the packages and the same seed give the same prompts.
"""

import argparse
import ast
import importlib.util
import io
import json
import random
import sysconfig
import textwrap
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from optimum_dynexec.benchmark.prompts import Question


PROMPTS = 30
LINES = range(10, 61)
# With their licences. They are dependencies of the benchmarks.
PACKAGES = {
    "huggingface_hub": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "networkx": "BSD-3-Clause",
    "numpy": "BSD-3-Clause",
    "packaging": "Apache-2.0 OR BSD-2-Clause",
    "torch": "BSD-3-Clause",
    "transformers": "Apache-2.0",
}
NO_SOURCES = {"site-packages", "dist-packages", "test", "tests", "testing", "idlelib", "lib2to3", "turtledemo"}
BUGS = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "+": "-",
    "-": "+",
    "and": "or",
    "or": "and",
}
Function = ast.FunctionDef


def make_questions(number: int = PROMPTS, seed: int = 0) -> list[Question]:
    """
    Makes code-editing prompts, the tasks in turns.

    Args:
        number (`int`): number of prompts.
        seed (`int`): random seed of the functions and of what is to be changed.

    Raises:
        `ValueError`: if there are too few suitable functions.
    """
    draw = random.Random(seed)
    files = list(_files())
    draw.shuffle(files)
    tasks = list(TASKS)
    questions: list[Question] = []
    for name, path in files:
        if len(questions) == number:
            break
        # At most one function of a file.
        task = tasks[len(questions) % len(tasks)]
        if (text := _from_file(path, TASKS[task], draw)) is not None:
            questions.append(Question(name, task, text))
    if len(questions) < number:
        raise ValueError(f"there are suitable functions for {len(questions)} prompts only, not for {number}")
    return questions


def _files() -> Iterator[tuple[str, Path]]:
    roots = {"python": Path(sysconfig.get_paths()["stdlib"])}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            roots[package] = Path(spec.origin).parent
    for package, root in roots.items():
        for path in sorted(root.rglob("*.py")):
            relative = path.relative_to(root)
            if not NO_SOURCES & set(relative.parts):
                yield f"{package}/{relative.as_posix()}", path


def _from_file(path: Path, task: Callable[..., str | None], draw: random.Random) -> str | None:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError):
        return None
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, Function) and not node.decorator_list and _length(node) in LINES
    ]
    draw.shuffle(functions)
    lines = source.splitlines()
    for function in functions:
        code = textwrap.dedent("\n".join(lines[function.lineno - 1 : function.end_lineno]))
        try:
            parsed = ast.parse(code).body[0]
        except SyntaxError:  # a string that begins further to the left
            continue
        if isinstance(parsed, Function) and (instruction := task(parsed, code, draw)) is not None:
            return instruction
    return None


def _length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _prompt(instruction: str, code: str) -> str:
    return f"{instruction} Reply with the whole function and nothing else.\n\n```python\n{code}\n```"


def _rename(function: Function, code: str, draw: random.Random) -> str | None:
    names = Counter(node.id for node in ast.walk(function) if isinstance(node, ast.Name))
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own = sorted(name for name in stored | set(_arguments(function)) if names[name] >= 3 and name != "self")
    if not own:
        return None
    name = draw.choice(own)
    return _prompt(f"Rename the variable `{name}` to `new_{name.lstrip('_')}` in this function.", code)


def _annotate(function: Function, code: str, draw: random.Random) -> str | None:
    arguments = [argument for argument in _arguments(function) if argument not in ("self", "cls")]
    annotated = [node for node in ast.walk(function.args) if isinstance(node, ast.arg) and node.annotation]
    if not arguments or annotated or function.returns:
        return None
    return _prompt("Add type hints to the arguments and the return value of this function.", code)


def _fix(function: Function, code: str, draw: random.Random) -> str | None:
    operators = [
        token
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        # The signature has signs of other meanings.
        if token.string in BUGS and token.start[0] >= function.body[0].lineno and not _is_sign(token, code)
    ]
    if not operators:
        return None
    token = draw.choice(operators)
    lines = code.splitlines()
    row, start, end = token.start[0] - 1, token.start[1], token.end[1]
    lines[row] = lines[row][:start] + BUGS[token.string] + lines[row][end:]
    return _prompt("One operator in this function is wrong. Fix this bug and change nothing else.", "\n".join(lines))


def _is_sign(token: tokenize.TokenInfo, code: str) -> bool:
    # `-1` and `2 - 1` have the same token.
    before = code.splitlines()[token.start[0] - 1][: token.start[1]].rstrip()
    return token.string in "+-" and not (before[-1:].isalnum() or before[-1:] in tuple(")]_'\""))


def _document(function: Function, code: str, draw: random.Random) -> str | None:
    if ast.get_docstring(function) is not None:
        return None
    return _prompt("Add a docstring that describes the arguments and the result of this function.", code)


def _arguments(function: Function) -> list[str]:
    arguments = function.args
    return [argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]


TASKS: dict[str, Callable[[Function, str, random.Random], str | None]] = {
    "rename": _rename,
    "annotate": _annotate,
    "fix": _fix,
    "document": _document,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="FILE", help=".jsonl file for the prompts.")
    parser.add_argument("--prompts", type=int, default=PROMPTS, metavar="N", help="Number of prompts.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed.")
    args = parser.parse_args()
    rows = [
        {"question_id": question.question_id, "category": question.task, "turns": [question.text]}
        for question in make_questions(args.prompts, args.seed)
    ]
    args.output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
