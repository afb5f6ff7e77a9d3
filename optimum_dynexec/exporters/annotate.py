"""Adds what dynamic execution needs to a directory that optimum-intel has exported."""

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..directory.config import DECODER_TASK, DynExecConfig, check_exit_layers
from ..directory.errors import ExportError
from ..directory.hashes import fingerprint_model, hash_model
from ..directory.marking import mark_boundaries
from ..directory.staging import EXPORT_MARK
from ..graph.boundaries import find_layer_boundaries
from ..graph.encoder_boundaries import find_encoder_boundaries
from ..graph.errors import NotPageableError, NotSegmentableError
from ..graph.paging import ENCODER_REASON, to_paged
from ..version import __version__


if TYPE_CHECKING:
    from openvino import Model


logger = logging.getLogger(__name__)

RECORDED_PACKAGES = ("openvino", "optimum-intel", "transformers", "torch")


def annotate_export(
    directory: str | Path, *, exit_layers: list[int] | None = None, task: str = DECODER_TASK
) -> DynExecConfig:
    """
    Marks the layer boundaries in an exported model and writes `dynexec_config.json` next to it. The weights do not
    change.

    If the model cannot be cut or paged, a warning names the features that are lost, and the configuration records
    this.

    Args:
        directory (`str` or `Path`):
            Directory of a model as optimum-intel exports it.
        exit_layers (`list[int]`, *optional*, defaults to `()`):
            Exit layers: layers after which tokens, or samples of an encoder, may leave the model; 0 is the first
            layer.
        task (`str`, *optional*, defaults to `"text-generation-with-past"`):
            Task that the model was exported for.

    Returns:
        [`DynExecConfig`]: the configuration written.

    Raises:
        [`~directory.errors.ExportError`]: if the model cannot be read, or cannot be cut although exit layers are
            requested.
        `ValueError`: if an exit layer is not a layer of the model.
    """
    from openvino import Core

    xml_path = Path(directory) / EXPORT_MARK
    exit_layers = list(exit_layers or [])
    try:
        model = Core().read_model(xml_path)
    except RuntimeError as error:
        raise ExportError(f"OpenVINO cannot read {xml_path}: {str(error).strip().splitlines()[-1]}") from error

    lost = []
    names: list[str] = []
    try:
        names = _boundaries_of(model, directory, task)
    except NotSegmentableError as error:
        if exit_layers:
            raise ExportError(
                f"the model cannot have exit layers, because it cannot be cut between its layers: {error}"
            ) from error
        lost.append(f"no early exit, because it cannot be cut between its layers ({error})")
    check_exit_layers(exit_layers, len(names))

    reason = None if task == DECODER_TASK else ENCODER_REASON
    try:
        if task == DECODER_TASK:
            to_paged(model)
    except NotPageableError as error:
        reason = str(error)
        lost.append(f"no speculative decoding, because its KV cache cannot be paged ({error})")
    del model
    if lost:
        verb = "generates" if task == DECODER_TASK else "runs"
        logger.warning("The exported model %s as with optimum-intel, but with %s.", verb, "; and ".join(lost))

    mark_boundaries(xml_path, names)
    config = DynExecConfig(
        task=task,
        exit_layers=exit_layers,
        hidden_state_names=dict(enumerate(names)),
        pageable=reason is None,
        pageable_reason=reason,
        versions={"optimum-dynexec": __version__, **{package: version(package) for package in RECORDED_PACKAGES}},
        model_hash=hash_model(directory),
        model_fingerprint=fingerprint_model(directory),
    )
    config.save_pretrained(directory)
    return config


def layers_of(model_name_or_path: str | Path, **loading: Any) -> int | None:
    """
    Number of layers according to a model's configuration; for a network with stages, the blocks of all stages.

    Args:
        model_name_or_path (`str` or `Path`):
            Id on the Hub or local directory.
        loading (*optional*):
            Arguments of `AutoConfig.from_pretrained`.

    Returns:
        `int`, *optional*: the number of layers; `None` if there is no such entry or the configuration needs code to be
        run.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model_name_or_path, **loading)
    except (OSError, ValueError) as error:
        logger.debug("no configuration of %s: %s", model_name_or_path, error)
        return None
    depths = getattr(config, "depths", None)
    if isinstance(depths, list | tuple) and all(isinstance(depth, int) for depth in depths):
        return sum(depths)
    return getattr(config.get_text_config(), "num_hidden_layers", None)


def image_size_of(directory: str | Path) -> tuple[int, int] | None:
    """Height and width of images according to a model's configuration; `None` if it does not contain them."""
    try:
        size = json.loads((Path(directory) / "config.json").read_text(encoding="utf-8")).get("image_size")
    except (OSError, ValueError, AttributeError):
        return None
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if isinstance(size, list) and len(size) == 2 else None


def _boundaries_of(model: "Model", directory: str | Path, task: str) -> list[str]:
    names = find_layer_boundaries(model) if task == DECODER_TASK else find_encoder_boundaries(model)
    stated = layers_of(directory)
    if stated is not None and stated != len(names):
        raise NotSegmentableError(f"it has {stated} layers, but {len(names)} boundaries were found")
    if task != DECODER_TASK:
        from ..graph.encoder_segments import cut_encoder

        # Only a cut shows whether the model can be cut there.
        cut_encoder(model, names[:-1], image_size_of(directory))
    return names
