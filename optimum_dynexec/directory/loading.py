"""Reads and writes the parts of a model's directory for dynamic execution."""

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
    Reads the configuration of a directory. If there is none, makes one from the graph of the model.

    Args:
        directory (`Path`): directory of the model.
        model (`openvino.Model`): model that was read from the directory.
        name (`str`): name of the architecture, for a warning.
        find_boundaries (`Callable`): function that finds the layers of a model.
        exit_layers (`list[int]`, *optional*): exit layers that replace those of the directory.
        defaults: fields of the [`DynExecConfig`] that is made if there is none.

    Raises:
        `ValueError`: if the configuration is not valid, or does not belong to this model.
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
    Reads an exported model with its configuration and heads.

    Args:
        directory (`str` or `Path`): directory of the model.

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
    Reads the heads of a directory, and adds or replaces those that the caller gives.

    Args:
        directory (`Path`): directory of the model.
        model (`openvino.Model`): model that was read from the directory.
        config ([`DynExecConfig`]): configuration of the model.
        heads (`str` or `Path`, *optional*): safetensors file of a head, or a directory of such files.
        cut_for_them (`bool`): whether the model is also cut after the layers of the given heads.

    Returns:
        `tuple`: the heads by name, and the configuration with the layers after which the model is cut.
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
    Writes the configuration and the heads of a saved model into its directory.

    Args:
        directory (`str` or `Path`): directory that the model was saved to and that nobody reads yet.
        xml_name (`str`): name of the model's `.xml` file.
        config ([`DynExecConfig`], *optional*): configuration of the model. If not set, nothing is written.
        heads (`Mapping[str, HeadModel]`): heads by name.
        changes: fields of the configuration to change.
    """
    if config is None:
        return
    path = Path(directory) / xml_name
    mark_boundaries(path, list(config.hidden_state_names.values()))
    model_hash = hash_model(path.parent, path.stem)
    changes |= {"model_hash": model_hash, "model_fingerprint": fingerprint_model(path.parent, path.stem)}
    replace(config, heads=write_heads(directory, heads, model_hash), **changes).save_pretrained(directory)
