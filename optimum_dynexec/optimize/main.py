"""Runs all steps of an optimization."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..data.texts import split_source
from ..directory.config import DYNEXEC_CONFIG_NAME, DynExecConfig
from ..exporters.tasks import resolve_task
from ..utils.installing import install_hint
from .arguments import OptimizeArguments
from .context import Context
from .errors import OptimizeError
from .kinds import kind_for
from .state import STATE_NAME, State, digest, hash_source
from .steps import STEPS


REPORT_PACKAGES = ("jinja2", "matplotlib")
NO_DATA = (
    "there is no data: give inputs like those in use as `data` (--data). The heads are trained on them, and the loss"
    " and the speed are measured on them"
)


@dataclass(frozen=True)
class Optimized:
    """
    Result of [`optimize`].

    Args:
        directory (`Path`): directory of the model.
        report (`Path`, *optional*): HTML page of the report, if there is one.
        lines (`list[str]`): decisions and their reasons.
        steps (`dict[str, dict[str, Any]]`): results of each step.
    """

    directory: Path
    report: Path | None
    lines: list[str]
    steps: dict[str, dict[str, Any]]


def optimize(
    model: str | Path,
    output: str | Path,
    *,
    data: Sequence[str | Path],
    arguments: OptimizeArguments | None = None,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
) -> Optimized:
    """
    Exports a model, quantizes it, trains heads on the quantized model, calibrates early exit, tunes and measures, all
    within one quality limit. A call that was interrupted resumes where it stopped.

    Args:
        model (`str` or `Path`): id or directory of a transformers model, or directory of an export in float32.
        output (`str` or `Path`):
            Directory for all results. It must not exist, be empty or belong to an earlier call. `model` in it is the
            resulting model, `report` shows its quality and speed, and `optimize.json` records the steps.
        data (`Sequence[str or Path]`):
            Inputs like those in use. For a decoder: prompts, as accepted by [`~data.texts.read_texts`]. For a
            classifier: samples, as accepted by [`~data.samples.read_samples`].
        arguments ([`OptimizeArguments`], *optional*): goal, limits and data.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.
        say (`Callable[[str], None]`, *optional*):
            function that receives each line. If not set, lines are written above the progress bar.

    Raises:
        [`OptimizeError`]: if the model, the data or the directory cannot be used.
        Whatever the steps raise.
    """
    args = arguments or OptimizeArguments()
    sources = [str(source) for source in data]
    if not sources:
        raise OptimizeError(NO_DATA)
    missing = [name for name in REPORT_PACKAGES if args.benchmark_samples != 0 and find_spec(name) is None]
    if missing:
        # Checked now, not after all other steps.
        raise OptimizeError(
            f"the report needs {missing[0]}: {install_hint('report')}, or leave out the report"
            " (`benchmark_samples=0`, --benchmark-samples 0)"
        )
    directory = Path(output)
    task = _task(str(model), args)
    kind = kind_for(task)
    unknown = [name for name in args.formats or () if name not in kind.formats]
    if unknown:
        raise OptimizeError(f"there is no format {unknown[0]!r} for {kind.noun}; the formats are {list(kind.formats)}")
    _prepare(directory)
    lines: list[str] = []
    with tqdm(total=len(STEPS), disable=not progress, bar_format="{desc}", leave=False) as bar:

        def tell(line: str) -> None:
            (say or bar.write)(line)

        def show(line: str = "") -> None:
            bar.set_description_str(f"{heading}: {line}" if line else heading)

        context = Context(str(model), directory, sources, args, task, kind, show)
        context.progress = progress
        state = State.load(directory)
        key = digest([hash_source(str(model)), task, [_source_key(source) for source in sources]])
        values = asdict(args)
        # A path to heads is replaced by the content of its files.
        values["heads"] = None if args.heads is None else hash_source(str(args.heads))
        for number, step in enumerate(STEPS, 1):
            heading = f"{step.name} (step {number} of {len(STEPS)})"
            show()
            key = digest([key, step.name, {name: values[name] for name in step.uses}])
            done = state.done(step.name, key)
            if done is None:
                state.begin(step.name)
                started = time.monotonic()
                found, said = step.run(context)
                state.finish(step.name, key, found, said, time.monotonic() - started)
                done = state.steps[step.name]
            else:
                tell(f"{step.name}: already done in an earlier call")
            context.found[step.name] = done["values"]
            for line in done["lines"]:
                tell(line)
            lines += done["lines"]
            bar.update()
    shutil.rmtree(directory / ".cache", ignore_errors=True)
    # A report of an earlier call with other arguments may exist although this call made none.
    pages = context.found["report"].get("places")
    return Optimized(context.result, directory / pages[0] if pages else None, lines, context.found)


def _task(model: str, args: OptimizeArguments) -> str:
    if args.task == "auto" and (Path(model) / DYNEXEC_CONFIG_NAME).is_file():
        return DynExecConfig.from_pretrained(model).task
    return resolve_task(model, args.task)


def _prepare(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise OptimizeError(f"`output` must be a directory, but {directory} is a file")
    others = [entry for entry in directory.iterdir() if not entry.name.startswith(".")] if directory.exists() else []
    if others and not (directory / STATE_NAME).is_file():
        names = {entry.name for entry in others}
        # An earlier call may have been killed before its first step was done.
        if not names <= {"data"}:
            raise OptimizeError(
                f"the output directory {directory} contains other files: give an empty or a new directory"
            )
    directory.mkdir(parents=True, exist_ok=True)


def _source_key(source: str) -> str | list[Any]:
    """The content of the file and the column of `FILE:COLUMN`."""
    if os.path.exists(source):
        return hash_source(source)
    path, column = split_source(source)
    return [hash_source(path), column]
