"""Checks that the configuration of a directory and its model belong together."""

from pathlib import Path

import openvino as ov

from ..graph.boundaries import find_layer_boundaries
from ..graph.encoder_boundaries import find_encoder_boundaries
from ..graph.errors import NotSegmentableError
from .config import DECODER_TASK, DYNEXEC_CONFIG_NAME, DynExecConfig
from .hashes import fingerprint_model, hash_model
from .staging import EXPORT_MARK


def check_model(directory: Path, model: ov.Model, config: DynExecConfig) -> None:
    """
    Checks that the configuration of a directory was written for its model, and that the layers end in the graph where
    the configuration says. A model that is cut elsewhere would give wrong results or crash the process.

    Args:
        directory (`Path`): directory of the model.
        model (`openvino.Model`): model that was read from the directory.
        config ([`DynExecConfig`]): configuration of the directory.

    Raises:
        `ValueError`: if they do not belong together; the message says what to do.
    """
    check_model_files(directory, config)
    if not config.hidden_state_names:
        return
    try:
        found = (find_layer_boundaries if config.task == DECODER_TASK else find_encoder_boundaries)(model)
    except NotSegmentableError as error:
        raise ValueError(
            f"`hidden_state_names` in {directory / DYNEXEC_CONFIG_NAME} must be empty, as the model cannot be cut"
            f" between its layers ({error}). {_again(directory)}"
        ) from error
    stated = [config.hidden_state_names[layer] for layer in range(len(config.hidden_state_names))]
    if stated != found:
        layer = next((i for i, (a, b) in enumerate(zip(stated, found, strict=False)) if a != b), None)
        difference = (
            f"it has {len(found)} layers, not {len(stated)}"
            if layer is None
            else f"layer {layer} ends after the node {found[layer]!r}, not after {stated[layer]!r}"
        )
        raise ValueError(
            f"`hidden_state_names` in {directory / DYNEXEC_CONFIG_NAME} are not the boundaries between the layers of"
            f" the model in that directory: {difference}. {_again(directory)}"
        )


def check_model_files(directory: Path, config: DynExecConfig) -> None:
    """
    Checks that the model's files in a directory are those that its configuration was written for.

    Args:
        directory (`Path`): directory of the model.
        config ([`DynExecConfig`]): configuration of the directory.

    Raises:
        `ValueError`: if they are not; the message says what to do.
    """
    if not (directory / EXPORT_MARK).is_file():
        # The model was loaded from a file of another name. Its hash is not known.
        return
    if config.model_fingerprint is not None:
        same = fingerprint_model(directory) == config.model_fingerprint
    else:
        # The configuration is from before there were fingerprints: read all weights instead.
        same = config.model_hash is None or hash_model(directory) == config.model_hash
    if not same:
        raise ValueError(
            f"{directory / EXPORT_MARK} or its .bin file is not the one that {DYNEXEC_CONFIG_NAME} was written for:"
            f" it has been changed or exported again since. {_again(directory)}"
        )


def _again(directory: Path) -> str:
    return (
        f"To keep the model as it is now, make an export of it with `optimum-cli export dynexec --model {directory}"
        f" NEW_DIRECTORY`; to use it without heads and calibration, remove {DYNEXEC_CONFIG_NAME}"
    )
