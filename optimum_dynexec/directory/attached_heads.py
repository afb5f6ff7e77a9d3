"""Heads put beside an exported model, and read from there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from safetensors import safe_open

from ..graph.backbone import embeddings, last_hidden_states, unembedding
from ..heads.config import DecoderHeadConfig, EncoderHeadConfig, HeadConfig
from ..heads.ir import WEIGHT_FORMATS, build_head_ir, head_config
from ..heads.model_checks import check_head_model
from ..heads.storage import SUFFIX, load_head
from ..heads.weight_formats import check_weight_format, with_weight_format
from .config import DECODER_TASK, AttachedHead, DynExecConfig
from .consistency import check_model_files
from .encoder_fit import check_fits_encoder
from .hashes import hash_model
from .staging import staged_directory


BACKBONE = "openvino_model"


@dataclass(frozen=True)
class HeadModel:
    """
    A head as an OpenVINO model.

    Args:
        model (`openvino.Model`): from [`~heads.ir.build_head_ir`] or its file.
        trained_on (`str`, *optional*): `model_hash` of the export that it was trained on.
        metrics (`dict[str, Any]`, *optional*, defaults to none): what its training measured.
    """

    model: ov.Model
    trained_on: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def config(self) -> HeadConfig:
        """What the model says of itself, read once."""
        return head_config(self.model)


def attach_heads(
    model_directory: str | Path,
    heads: str | Path,
    *,
    weight_format: str | None = None,
    draft_weight_format: str | None = None,
) -> DynExecConfig:
    """
    Puts trained heads beside an exported model: one small OpenVINO model each, and entries in `dynexec_config.json`.
    The model's own files stay as they are. Heads of the same name are replaced, others stay.

    Whatever ends the process, the directory has the heads from before or all the new ones.

    The layers of exit heads are added to `exit_layers`, so that the model is cut there when it is loaded.

    Args:
        model_directory (`str` or `Path`):
            A directory that `optimum-cli export dynexec` made. It need not be the export that the heads were trained
            on, only one of the same model: what heads propose is checked by the model they are used with, so that its
            quantization, say, costs some speed and nothing else.
        heads (`str` or `Path`):
            A safetensors file of a head, or a directory with some.
        weight_format (`str`, *optional*):
            `"int8"`, `"int4"` or `"fp32"`, of the heads' models. Unset: `"int8"` for decoders, `"fp32"` for the small
            heads of others.
        draft_weight_format (`str`, *optional*):
            The same, of the draft head. Unset: as of all.

    Returns:
        [`DynExecConfig`]: the configuration written.

    Raises:
        `ValueError`: if there is no head, one is damaged or does not fit the model, two have the same name, or
            `dynexec_config.json` is not one of this model.
        `FileNotFoundError`: if `model_directory` is no such export.
    """
    directory = Path(model_directory)
    config = DynExecConfig.from_pretrained(directory)
    check_model_files(directory, config)
    backbone = ov.Core().read_model(directory / f"{BACKBONE}.xml")
    made = make_heads(backbone, config, heads, weight_format=weight_format, draft_weight_format=draft_weight_format)
    with staged_directory(directory, keep_others=True) as staging:
        # Read once more: another process may have written to it.
        config = DynExecConfig.from_pretrained(directory)
        entries = {**config.heads, **write_heads(staging, made, config.model_hash)}
        config = replace(config, heads=entries, exit_layers=config.exit_layers + layers_of(made))
        config.save_pretrained(staging)
    return config


def make_heads(
    backbone: ov.Model,
    config: DynExecConfig,
    heads: str | Path,
    *,
    weight_format: str | None = None,
    draft_weight_format: str | None = None,
) -> dict[str, HeadModel]:
    """
    Makes OpenVINO models of trained heads.

    Args:
        backbone (`openvino.Model`): the whole model.
        config ([`DynExecConfig`]): of the model.
        heads (`str` or `Path`): a safetensors file of a head, or a directory with some.
        weight_format, draft_weight_format (`str`, *optional*): see [`attach_heads`].

    Returns:
        `dict[str, HeadModel]`: the heads by name.

    Raises:
        `ValueError`: if there is no head, one is damaged or does not fit the model, or two have the same name.
    """
    decoder = config.task == DECODER_TASK
    if decoder and not config.pageable:
        raise ValueError(f"the model can have no heads, as its KV cache cannot be paged ({config.pageable_reason})")
    default = "int8" if decoder else "fp32"
    for name, value in (("weight_format", weight_format), ("draft_weight_format", draft_weight_format)):
        check_weight_format(value or default, name)
    path = Path(heads)
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} has no heads: there is no {SUFFIX} file in it")
    matrix: np.ndarray | None = None
    made: dict[str, HeadModel] = {}
    for file in files:
        shape, tensors = load_head(file)
        if shape.name in made:
            raise ValueError(f"{path} has two heads that are called {shape.name}")
        try:
            _check_fits(shape, backbone, config)
            if isinstance(shape, DecoderHeadConfig) and shape.shares_unembedding and matrix is None:
                matrix = unembedding(backbone)
            form = (draft_weight_format if shape.kind == "draft" else None) or weight_format or default
            model = _build(shape, tensors, matrix, form)
        except ValueError as error:
            raise ValueError(f"{file} does not fit the model: {error}") from error
        card = _training_card(file)
        made[shape.name] = HeadModel(model, card.get("backbone_hash"), card.get("agreement") or {})
    return made


def _build(
    shape: HeadConfig, tensors: Mapping[str, np.ndarray], matrix: np.ndarray | None, weight_format: str
) -> ov.Model:
    if weight_format in WEIGHT_FORMATS:
        return build_head_ir(shape, tensors, matrix, weight_format=weight_format)
    return with_weight_format(build_head_ir(shape, tensors, matrix), weight_format)


def layers_of(heads: Mapping[str, HeadModel]) -> list[int]:
    """Layers that some of `heads` are exit heads for."""
    return list(exit_heads(heads))


def exit_heads(heads: Mapping[str, HeadModel]) -> dict[int, ov.Model]:
    """The models of those of `heads` that are exit heads, by their layer, ascending."""
    found = {head.config.layer: head.model for head in heads.values()}
    return {layer: found[layer] for layer in sorted(layer for layer in found if layer is not None)}


def write_heads(
    directory: str | Path, heads: Mapping[str, HeadModel], model_hash: str | None
) -> dict[str, AttachedHead]:
    """
    Writes the models of heads.

    Args:
        directory (`str` or `Path`): where to.
        heads (`Mapping[str, HeadModel]`): by name.
        model_hash (`str`, *optional*): of the decoder that they are for.

    Returns:
        `dict[str, AttachedHead]`: the entries for the decoder's [`DynExecConfig`].
    """
    entries = {}
    for name, head in heads.items():
        shape = head.config
        file = Path(directory) / f"openvino_{name}.xml"
        ov.save_model(head.model, file, compress_to_fp16=False)
        entries[name] = AttachedHead(
            kind=shape.kind,
            layer=shape.layer,
            file=file.name,
            hash=hash_model(directory, file.stem),
            trained_on=head.trained_on,
            attached_to=model_hash,
            metrics=head.metrics,
        )
    return entries


def read_heads(directory: str | Path, config: DynExecConfig, backbone: ov.Model) -> dict[str, HeadModel]:
    """
    Reads the heads that stand beside a model, and checks that they are what was attached, in themselves and for it.

    Args:
        directory (`str` or `Path`): where the model stands.
        config ([`DynExecConfig`]): of the model.
        backbone (`openvino.Model`): the whole model.

    Returns:
        `dict[str, HeadModel]`: the heads by name.

    Raises:
        `ValueError`: if a head is missing, not the one that was attached, no head at all or none of this model; the
            message says what to do.
    """
    heads = {}
    for name, entry in config.heads.items():
        path = Path(directory) / entry.file
        again = f"attach the heads to {directory} again, or take {name!r} out of its dynexec_config.json"
        if not path.is_file() or not path.with_suffix(".bin").is_file():
            raise ValueError(f"the head {path} or its .bin file is missing: {again}")
        if hash_model(directory, path.stem) != entry.hash:
            raise ValueError(f"the head {path} or its .bin file is not the one that was attached: {again}")
        try:
            head = HeadModel(ov.Core().read_model(path), entry.trained_on, dict(entry.metrics))
            if (head.config.kind, head.config.layer) != (entry.kind, entry.layer):
                raise ValueError(f"it is called {name!r}, but it is of kind {head.config.kind!r}")
            check_head_model(head.model, head.config)
            _check_fits(head.config, backbone, config)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"the head {path} cannot be used: {' '.join(str(error).split())}; {again}") from error
        heads[name] = head
    return heads


def _check_fits(head: HeadConfig, backbone: ov.Model, config: DynExecConfig) -> None:
    decoder = config.task == DECODER_TASK
    if decoder and isinstance(head, DecoderHeadConfig):
        _check_fits_decoder(head, backbone, config)
    elif not decoder and isinstance(head, EncoderHeadConfig):
        check_fits_encoder(head, backbone, config)
    else:
        raise ValueError(f"it is of kind {head.kind!r}, which a model for the task {config.task!r} has not")


def _check_fits_decoder(head: DecoderHeadConfig, backbone: ov.Model, config: DynExecConfig) -> None:
    vocab_size = backbone.output("logits").get_partial_shape()[-1].get_length()
    hidden_size = last_hidden_states(backbone).get_partial_shape()[-1].get_length()
    if (head.vocab_size, head.hidden_size) != (vocab_size, hidden_size):
        raise ValueError(
            f"it is for a vocabulary of {head.vocab_size} and hidden states of {head.hidden_size}, but the model has "
            f"{vocab_size} and {hidden_size}"
        )
    head.check_layers(len(config.hidden_state_names))
    if head.kind == "draft" and embeddings(backbone).get_partial_shape()[-1] != head.hidden_size:
        raise ValueError("the model's embeddings and hidden states differ in size")


def _training_card(file: Path) -> dict[str, Any]:
    """What a head's file says about its training; what is not of the right type is left out."""
    with safe_open(str(file), framework="np") as opened:
        text = (opened.metadata() or {}).get("card", "{}")
    try:
        card = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{file} is not a head: its training card is not valid JSON ({error})") from error
    if not isinstance(card, dict):
        raise ValueError(f"{file} is not a head: its training card is not an object")
    return card
