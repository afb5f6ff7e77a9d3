"""The directories of the models that are compared."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..diffusion.step_saver.config import STEP_SAVER_CONFIG_NAME, STEP_SAVER_DIRECTORY
from ..directory.config import DYNEXEC_CONFIG_NAME, DynExecConfig
from ..directory.hashes import hash_model
from .arguments import check_name
from .errors import BenchmarkError
from .weights import weight_compression


PIPELINE_CONFIG_NAME = "model_index.json"
DIFFUSION_TASK = "text-to-image"
MODEL = "openvino_model"


def check_models(models: Mapping[str, str | Path]) -> tuple[dict[str, Path], str]:
    """
    Checks the models to compare.

    Args:
        models (`Mapping[str, str or Path]`): directories of exports by name.

    Returns:
        `tuple`: the directories by name, and their common task.

    Raises:
        [`~benchmark.BenchmarkError`]: if there is no model, a directory is not an export, or the tasks differ.
    """
    if not models:
        raise BenchmarkError("there is no model to measure: give at least one; the first one is the baseline")
    directories = {name: Path(directory) for name, directory in models.items()}
    for name in directories:
        check_name("a model", name)
    tasks = {name: task_of(directory) for name, directory in directories.items()}
    if len({*tasks.values()}) > 1:
        raise BenchmarkError(f"the models must be for the same task to be compared, but they are for {tasks}")
    return directories, next(iter(tasks.values()))


def task_of(directory: Path) -> str:
    """
    Gives the task that a directory was exported for.

    Raises:
        [`~benchmark.BenchmarkError`]: if the directory is not an export.
    """
    if (directory / PIPELINE_CONFIG_NAME).is_file():
        return DIFFUSION_TASK
    if not (directory / DYNEXEC_CONFIG_NAME).is_file():
        raise BenchmarkError(
            f"{directory} holds neither {DYNEXEC_CONFIG_NAME} nor a diffusion pipeline's {PIPELINE_CONFIG_NAME}:"
            " export the model with `optimum-cli export dynexec`"
        )
    return DynExecConfig.from_pretrained(directory).task


def describe_model(directory: Path) -> dict[str, Any]:
    """
    Describes a model so that it can be identified: hashes of all its parts, the types of its weights, and its heads
    and calibration, or the step predictor of a diffusion pipeline, if there is one.
    """
    parts = sorted(path.parent for path in directory.glob(f"**/{MODEL}.xml"))
    hashes = {part.relative_to(directory).as_posix(): hash_model(part, MODEL) for part in parts}
    weights = {part.relative_to(directory).as_posix(): weight_compression(part, MODEL) for part in parts}
    described: dict[str, Any] = {"directory": str(directory), "hashes": hashes, "weights": weights}
    if (directory / DYNEXEC_CONFIG_NAME).is_file():
        config = DynExecConfig.from_pretrained(directory)
        described["heads"] = {name: head.hash for name, head in config.heads.items()}
        described["calibration"] = config.calibration
    else:
        pipeline = json.loads((directory / PIPELINE_CONFIG_NAME).read_text(encoding="utf-8"))
        described["pipeline"], described["scheduler"] = pipeline["_class_name"], pipeline.get("scheduler")
        predictor = directory / STEP_SAVER_DIRECTORY / STEP_SAVER_CONFIG_NAME
        described["step_saver"] = json.loads(predictor.read_text(encoding="utf-8")) if predictor.is_file() else None
    return described
