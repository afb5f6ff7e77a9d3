"""What a model's directory holds for dynamic execution: read when it is loaded, written when it is saved."""

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov

from ..graph.errors import NotSegmentableError
from .attached_heads import HeadModel, layers_of, make_heads, read_heads, write_heads
from .config import DYNEXEC_CONFIG_NAME, DynExecConfig
from .hashes import hash_model
from .marking import mark_boundaries


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
    """
    if (directory / DYNEXEC_CONFIG_NAME).is_file():
        config = DynExecConfig.from_pretrained(directory)
    else:
        try:
            names = find_boundaries(model)
        except NotSegmentableError as error:
            logger.warning(f"{name} cannot be cut between layers: {error}")
            names = []
        config = DynExecConfig(hidden_state_names=dict(enumerate(names)), **defaults)
    return config if exit_layers is None else replace(config, exit_layers=list(exit_layers))


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
    found = read_heads(directory, config)
    if heads is None:
        return found, config
    given = make_heads(model, config, heads)
    if cut_for_them:
        config = replace(config, exit_layers=config.exit_layers + layers_of(given))
    return {**found, **given}, config


def save_with_dynexec(
    save_directory: str | Path,
    xml_name: str,
    config: DynExecConfig | None,
    heads: Mapping[str, HeadModel],
    save: Callable[[str], None],
    **changes: Any,
) -> None:
    """
    Saves a model with what it has for dynamic execution.

    Args:
        save_directory (`str` or `Path`): where to.
        xml_name (`str`): of the model's file.
        config ([`DynExecConfig`], *optional*): without one, the model is all that is saved.
        heads (`Mapping[str, HeadModel]`): by name.
        save (`Callable`): saves the model itself in a directory.
        changes: of fields of the configuration.
    """
    # The weights may be mapped from the very file that is written: it has to be replaced, not written over.
    with tempfile.TemporaryDirectory(dir=save_directory, prefix=".saving-") as staging:
        save(staging)
        if config is not None:
            path = Path(staging) / xml_name
            mark_boundaries(path, list(config.hidden_state_names.values()))
            model_hash = hash_model(path.parent, path.stem)
            written = write_heads(staging, heads, model_hash)
            replace(config, model_hash=model_hash, heads=written, **changes).save_pretrained(staging)
        for file in Path(staging).iterdir():
            file.replace(Path(save_directory) / file.name)
