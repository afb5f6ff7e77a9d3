"""Checks that a calibration still belongs to the model in its directory."""

import logging
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ..early_exit.criteria import criterion_class
from .calibration import Calibration
from .config import DynExecConfig
from .errors import CalibrationError, StaleCalibrationError
from .hashes import hash_content, hash_model
from .staging import staged_directory


logger = logging.getLogger(__name__)

AGAIN = "calibrate again with `optimum-cli dynexec calibrate`"


def hash_heads(directory: str | Path, config: DynExecConfig) -> dict[int, str]:
    """
    Hashes the files of a model's exit heads.

    Args:
        directory (`str` or `Path`): directory of the model.
        config ([`DynExecConfig`]): configuration that lists the heads.

    Returns:
        `dict[int, str]`: a hash for each layer that has a head, ascending.

    Raises:
        [`~directory.errors.CalibrationError`]: if a file is missing.
    """
    files = {head.layer: Path(head.file).stem for head in config.heads.values() if head.layer is not None}
    try:
        return {layer: hash_model(directory, files[layer]) for layer in sorted(files)}
    except FileNotFoundError as error:
        raise CalibrationError(
            f"the head {error.filename} is missing: attach the heads to {directory} again"
        ) from error


def check_fresh(calibration: Calibration, directory: str | Path) -> None:
    """
    Checks that a calibration was made with the model, the heads and the learned criterion that are in a directory now.
    It reads all of their files once.

    Args:
        calibration ([`Calibration`]): calibration to check.
        directory (`str` or `Path`): directory of the model.

    Raises:
        [`~directory.errors.StaleCalibrationError`]: if something has changed; the message says what.
    """
    if calibration.model_hash is None:
        raise StaleCalibrationError(f"the calibration does not say which model it was made with: {AGAIN}")
    if hash_model(directory) != calibration.model_hash:
        raise StaleCalibrationError(
            f"the model in {directory} is not the one that was calibrated (quantized or exported again since?), so its"
            f" thresholds guarantee nothing: {AGAIN}"
        )
    heads = hash_heads(directory, DynExecConfig.from_pretrained(directory))
    if list(heads) != sorted(calibration.head_hashes):
        raise StaleCalibrationError(
            f"{directory} has exit heads after layers {list(heads)}, but the calibration was made with those after"
            f" {sorted(calibration.head_hashes)}: {AGAIN}"
        )
    changed = [layer for layer, value in heads.items() if value != calibration.head_hashes[layer]]
    if changed:
        raise StaleCalibrationError(
            f"the exit heads in {directory} after layers {changed} have changed since the calibration: {AGAIN}"
        )
    name = criterion_class(calibration.criterion).file_name
    if name is not None:
        path = Path(directory) / name
        if not path.is_file() or hash_content(path.read_bytes()) != calibration.criterion_hash:
            raise StaleCalibrationError(f"{path} is not the one of the calibration: {AGAIN}")


def load_calibration(directory: str | Path, precision: str | None = None) -> Calibration:
    """
    Reads the calibration of a model and checks that it is still valid.

    Args:
        directory (`str` or `Path`): directory of the model.
        precision (`str`, *optional*):
            Precision that the thresholds will be used with, one of [`~precision.PRECISIONS`]. If they were found with
            another one, a warning says so.

    Raises:
        [`~directory.errors.StaleCalibrationError`]: if the model or its heads have changed since the calibration.
        [`~directory.errors.CalibrationError`]: if there is no calibration, or it cannot be read.
    """
    values = DynExecConfig.from_pretrained(directory).calibration
    if values is None:
        raise CalibrationError(
            f"the model in {directory} is not calibrated: run `optimum-cli dynexec calibrate {directory} --data ...`"
        )
    try:
        calibration = Calibration.from_dict(values)
        criterion = criterion_class(calibration.criterion)
        for threshold in calibration.thresholds.values():
            criterion.check_threshold(threshold)
    except ValueError as error:
        raise CalibrationError(f"the calibration in {directory} cannot be used: {error}") from error
    check_fresh(calibration, directory)
    recorded = calibration.source.get("precision")
    # "f32" stands in for "exact" where that is not possible, and is closer to it than to "fast".
    lossless = {recorded, precision} <= {"exact", "f32"}
    if precision is not None and recorded not in (None, precision) and not lossless:
        logger.warning(
            "The thresholds in %s were found with the precision %r, but the model was loaded with %r, which may answer"
            " otherwise where it is nearly undecided. Load it with `precision=%r`, or %s --precision %s`.",
            directory,
            recorded,
            precision,
            recorded,
            AGAIN.removesuffix("`"),
            precision,
        )
    return calibration


def save_calibration(calibration: Calibration, content: bytes | None, directory: str | Path) -> Calibration:
    """
    Writes a calibration into `dynexec_config.json`, and the learned weights of its criterion into their file. Both are
    written, or neither.

    Args:
        calibration ([`Calibration`]): calibration to write.
        content (`bytes`, *optional*): content of the file with the learned weights, if the criterion has one.
        directory (`str` or `Path`): directory of the model.

    Returns:
        [`Calibration`]: the calibration with the date and time.
    """
    calibration = replace(calibration, calibrated_on=datetime.now(timezone.utc).isoformat(timespec="minutes"))
    name = criterion_class(calibration.criterion).file_name
    with staged_directory(Path(directory), keep_others=True) as staging:
        config = DynExecConfig.from_pretrained(directory)
        if name is not None and content is not None:
            (staging / name).write_bytes(content)
        replace(config, calibration=calibration.to_dict()).save_pretrained(staging)
    return calibration
