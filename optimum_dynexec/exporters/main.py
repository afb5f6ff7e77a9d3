"""Exports a model with optimum-intel and adds what dynamic execution needs."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..directory.attached_heads import attach_heads
from ..directory.config import DYNEXEC_CONFIG_NAME, DynExecConfig, check_exit_layers
from ..directory.errors import ExportError
from ..directory.staging import EXPORT_MARK, staged_directory
from ..early_exit.config import EarlyExitConfig
from .annotate import annotate_export, layers_of
from .optimum_intel import DENIED_OPTIONS, check_architecture, default_options, export_openvino
from .pooling_files import copy_pooling_files
from .tasks import resolve_task


logger = logging.getLogger(__name__)

TORCH_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.gguf")
# Options that do not change the exported model.
LOADING_OPTIONS = {"trust_remote_code", "cache_dir", "variant"}


def export_dynexec(
    model_name_or_path: str | Path,
    output: str | Path,
    *,
    task: str = "auto",
    exit_layers: list[int] | None = None,
    heads: str | Path | None = None,
    weight_format: str | None = None,
    head_weight_format: str | None = None,
    draft_weight_format: str | None = None,
    single_ir: bool = False,
    exit_threshold: float | None = None,
    **options: Any,
) -> DynExecConfig:
    """
    Exports a decoder, an encoder, or a vision or audio model to an OpenVINO directory that optimum-intel and
    openvino-genai can load. The layer boundaries are marked in the model, and `dynexec_config.json` is added.

    The directory appears when it is complete. A failed or killed export does not change an earlier export at `output`.

    Args:
        model_name_or_path (`str` or `Path`):
            Id on the Hugging Face Hub, or local directory of a transformers model. A local directory that
            optimum-intel has already exported is copied, not exported again.
        output (`str` or `Path`):
            Directory to write to. It must not exist, be empty or contain an earlier export, which is replaced.
        task (`str`, *optional*, defaults to `"auto"`):
            `"auto"`, `"text-generation-with-past"`, `"text-classification"`, `"token-classification"`,
            `"question-answering"`, `"feature-extraction"`, `"image-classification"` or `"audio-classification"`.
        exit_layers (`list[int]`, *optional*, defaults to `()`):
            Exit layers: layers after which tokens, or samples, may leave the model; 0 is the first layer. If not set,
            a copy has the exit layers of its source.
        heads (`str` or `Path`, *optional*):
            Trained heads to attach: a safetensors file, or a directory with such files. The layers of exit
            heads are added to `exit_layers`.
        weight_format (`str`, *optional*):
            `"fp32"`, `"fp16"`, `"int8"`, `"int4"`, `"mxfp4"`, `"nf4"` or `"cb4"`. If not set: optimum-intel's default.
        head_weight_format (`str`, *optional*):
            Weight format of `heads`: `"fp32"`, `"int8"` or `"int4"`. If not set: `"int8"` for decoders, `"fp32"` for
            others.
        draft_weight_format (`str`, *optional*):
            Weight format of the draft head among `heads`. If not set: `head_weight_format`.
        single_ir (`bool`, *optional*, defaults to `False`):
            Whether to also write `openvino_early_exit_model.xml`: a classifier, its exit heads and `If` operators,
            which runs without this library. See [`~exporters.single_ir.export_single_ir`].
        exit_threshold (`float`, *optional*):
            The probability from which samples leave the single IR. If not set: the calibrated thresholds of its
            source.
        options (*optional*):
            The other options of `optimum-cli export openvino` by name, for example `group_size=64` or `sym=True`.

    Returns:
        [`DynExecConfig`]: the configuration written.

    Raises:
        [`~directory.errors.ExportError`]: if the export is not possible with these arguments.
        `ValueError`: if the heads are damaged or do not fit the model.
        `TypeError`: if an option is unknown.
    """
    options["weight_format"] = weight_format
    _check_options(options)
    if heads is None and (head_weight_format or draft_weight_format):
        raise ExportError(
            "`head_weight_format` and `draft_weight_format` apply to `heads`: give `heads`, or leave the formats out"
        )
    source = _normalize(model_name_or_path)
    earlier = _earlier_config(Path(source))
    if earlier is not None and exit_layers is None:
        exit_layers = earlier.exit_layers
    exit_layers = list(exit_layers or [])
    with staged_directory(Path(output)) as staging:
        if _is_exported(Path(source)):
            _check_copyable(source, options)
            _copy_export(Path(source), staging)
            task = resolve_task(source, earlier.task if earlier is not None and task == "auto" else task)
        else:
            task = resolve_task(source, task, options.get("cache_dir"))
            loading = {name: options[name] for name in ("trust_remote_code", "cache_dir") if name in options}
            check_architecture(source, task, **loading)
            if exit_layers and (num_layers := layers_of(source, **loading)):
                check_exit_layers(exit_layers, num_layers)
            with _temporary_files_in(staging / ".tmp"):
                export_openvino(source, staging, task, options)
        if task == "feature-extraction":
            copy_pooling_files(source, staging, options.get("cache_dir"))
        if not (staging / EXPORT_MARK).is_file():
            raise ExportError(f"the export of {source} contains no {EXPORT_MARK}, so this library cannot use it")
        config = annotate_export(staging, exit_layers=exit_layers, task=task)
        if earlier is not None and earlier.heads:
            config = replace(config, heads=earlier.heads)
            config.save_pretrained(staging)
        if heads is not None:
            config = attach_heads(
                staging, heads, weight_format=head_weight_format, draft_weight_format=draft_weight_format
            )
        if single_ir:
            _add_single_ir(staging, Path(source), exit_threshold)
    return config


def _add_single_ir(staging: Path, source: Path, threshold: float | None) -> None:
    from ..directory.calibrated_exit import resolve_early_exit
    from .single_ir import export_single_ir

    if threshold is not None:
        early_exit = EarlyExitConfig(threshold=threshold)
    elif _earlier_config(source) is None:
        raise ExportError("the model is not calibrated, so a single IR needs an `exit_threshold`")
    else:
        early_exit = resolve_early_exit("calibrated", source)
    export_single_ir(staging, early_exit)


def _earlier_config(source: Path) -> DynExecConfig | None:
    """The exit layers of an earlier export by this package, which is now copied."""
    copied = _is_exported(source) and (source / DYNEXEC_CONFIG_NAME).is_file()
    return DynExecConfig.from_pretrained(source) if copied else None


def _check_options(options: dict[str, Any]) -> None:
    accepted = default_options()
    for name in options:
        if name in DENIED_OPTIONS:
            raise ExportError(f"the option `{name}` cannot be used: {DENIED_OPTIONS[name]}")
        if name not in accepted:
            raise TypeError(f"export_dynexec has no option `{name}`; the options are {sorted(accepted)}")


def _normalize(model_name_or_path: str | Path) -> str:
    source = os.fspath(model_name_or_path)
    # An id on the Hub is `name` or `owner/name`. Anything else that does not exist as a path would end as a failed
    # download.
    looks_like_path = (
        isinstance(model_name_or_path, Path) or source.startswith((".", "/", "~")) or source.count("/") > 1
    )
    if looks_like_path and not os.path.isdir(source):
        raise ExportError(f"the model directory {source} does not exist")
    return source


def _is_exported(directory: Path) -> bool:
    has_weights = directory.is_dir() and any(any(directory.glob(pattern)) for pattern in TORCH_WEIGHTS)
    return (directory / EXPORT_MARK).is_file() and not has_weights


def _check_copyable(source: str, options: dict[str, Any]) -> None:
    defaults = default_options()
    changed = [name for name, value in options.items() if value != defaults[name] and name not in LOADING_OPTIONS]
    if changed:
        raise ExportError(
            f"{source} is already exported, so `{changed[0]}` cannot be chosen any more: export the original model"
        )


def _copy_export(source: Path, staging: Path) -> None:
    if not (source / EXPORT_MARK).with_suffix(".bin").is_file():
        raise ExportError(f"{source} contains {EXPORT_MARK} but not its weights: export the model again")
    for entry in source.iterdir():
        if entry.is_file() and not entry.name.startswith("."):
            shutil.copy2(entry, staging / entry.name)


@contextmanager
def _temporary_files_in(directory: Path) -> Iterator[None]:
    """optimum-intel compresses through a temporary directory. Here, the next export finds and removes it."""
    directory.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(directory)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(directory, ignore_errors=True)
