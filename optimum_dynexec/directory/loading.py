"""What a model's directory holds for dynamic execution: read when it is loaded, written when it is saved."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov

from ..graph.errors import NotSegmentableError
from .attached_heads import HeadModel, layers_of, make_heads, read_heads, write_heads
from .config import DYNEXEC_CONFIG_NAME, DynExecConfig
from .consistency import check_model
from .hashes import fingerprint_model, hash_model
from .marking import mark_boundaries
from .staging import EXPORT_MARK


logger = logging.getLogger(__name__)


def load_dynexec_config(
    directory: Path,
    model: ov.Model,
    name: str,
    find_boundaries: Callable[[ov.Model], list[str]],
    exit_layers: list[int] | None,
    **defaults: Any,
) -> DynExecConfig:
    """
    Reads the configuration of a directory. Where there is none, makes one by what the graph shows.

    Args:
        directory (`Path`): of the model.
        model (`openvino.Model`): as read from it.
        name (`str`): of the architecture, for a warning.
        find_boundaries (`Callable`): finds the layers of a model.
        exit_layers (`list[int]`, *optional*): in place of those of the directory.
        defaults: fields of a [`DynExecConfig`] that is made.

    Raises:
        `ValueError`: if the configuration is not acceptable, or not one of this model.
    """
    if (directory / DYNEXEC_CONFIG_NAME).is_file():
        config = DynExecConfig.from_pretrained(directory)
        check_model(directory, model, config)
    else:
        try:
            names = find_boundaries(model)
        except NotSegmentableError as error:
            logger.warning(f"{name} cannot be cut between layers: {error}")
            names = []
        config = DynExecConfig(hidden_state_names=dict(enumerate(names)), **defaults)
    return config if exit_layers is None else replace(config, exit_layers=list(exit_layers))


def read_export(directory: str | Path) -> tuple[ov.Model, DynExecConfig, dict[str, HeadModel]]:
    """
    Reads a model with its configuration and heads, as they stand on disk.

    Args:
        directory (`str` or `Path`): an export.

    Returns:
        `tuple`: the model, its configuration, and its heads by name.

    Raises:
        `FileNotFoundError`: if there is no configuration.
        `ValueError`: if they do not belong together; the message says what to do.
    """
    config = DynExecConfig.from_pretrained(directory)
    model = ov.Core().read_model(Path(directory) / EXPORT_MARK)
    check_model(Path(directory), model, config)
    return model, config, read_heads(directory, config, model)


def load_heads(
    directory: Path, model: ov.Model, config: DynExecConfig, heads: str | Path | None, cut_for_them: bool
) -> tuple[dict[str, HeadModel], DynExecConfig]:
    """
    Reads the heads of a directory, and makes those that are given beside or in place of them.

    Args:
        directory (`Path`): of the model.
        model (`openvino.Model`): as read from it.
        config ([`DynExecConfig`]): of the model.
        heads (`str` or `Path`, *optional*): a safetensors file of a head, or a directory with some.
        cut_for_them (`bool`): whether the model is also to be cut where those read.

    Returns:
        `tuple`: the heads by name, and the configuration with the layers it is to be cut after.
    """
    found = read_heads(directory, config, model)
    if heads is None:
        return found, config
    given = make_heads(model, config, heads)
    if cut_for_them:
        config = replace(config, exit_layers=config.exit_layers + layers_of(given))
    return {**found, **given}, config


def add_dynexec(
    directory: str | Path,
    xml_name: str,
    config: DynExecConfig | None,
    heads: Mapping[str, HeadModel],
    **changes: Any,
) -> None:
    """
    Puts what a model has for dynamic execution beside it.

    Args:
        directory (`str` or `Path`): where the model has been saved, which nobody reads yet.
        xml_name (`str`): of the model's file.
        config ([`DynExecConfig`], *optional*): without one there is nothing.
        heads (`Mapping[str, HeadModel]`): by name.
        changes: of fields of the configuration.
    """
    if config is None:
        return
    path = Path(directory) / xml_name
    mark_boundaries(path, list(config.hidden_state_names.values()))
    model_hash = hash_model(path.parent, path.stem)
    changes |= {"model_hash": model_hash, "model_fingerprint": fingerprint_model(path.parent, path.stem)}
    replace(config, heads=write_heads(directory, heads, model_hash), **changes).save_pretrained(directory)
