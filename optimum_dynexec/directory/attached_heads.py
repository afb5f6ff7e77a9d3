"""Heads in the directory of an exported model: how they are attached and read."""

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
        model (`openvino.Model`): result of [`~heads.ir.build_head_ir`], also if read from a file.
        trained_on (`str`, *optional*): `model_hash` of the export that the head was trained on.
        metrics (`dict[str, Any]`, *optional*, defaults to `{}`): measurements of the training.
        training_texts (`str`, *optional*): hashes of some training texts, from [`~data.overlap.sketch`].
    """

    model: ov.Model
    trained_on: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    training_texts: str | None = None

    @cached_property
    def config(self) -> HeadConfig:
        """The configuration that is stored in the model, read once."""
        return head_config(self.model)


def attach_heads(
    model_directory: str | Path,
    heads: str | Path,
    *,
    weight_format: str | None = None,
    draft_weight_format: str | None = None,
) -> DynExecConfig:
    """
    Adds trained heads to the directory of an exported model: one small OpenVINO model for each head, and an entry in
    `dynexec_config.json`. The model's own files do not change. Heads of the same name are replaced, other heads stay.

    Even if the process is killed, the directory has either the earlier heads or all the new ones.

    The layers of exit heads are added to `exit_layers`, so that the model is cut there when it is loaded.

    Args:
        model_directory (`str` or `Path`):
            Directory that `optimum-cli export dynexec` made. It may hold another export of the model that the heads
            were trained on: the model verifies what the heads propose, so another quantization, for example, costs
            some speed and nothing else.
        heads (`str` or `Path`):
            Safetensors file of a head, or a directory of such files.
        weight_format (`str`, *optional*):
            Weight format of the heads' models: `"int8"`, `"int4"` or `"fp32"`. If not set: `"int8"` for decoders,
            `"fp32"` for the small heads of other models.
        draft_weight_format (`str`, *optional*):
            Weight format of the draft head. If not set: that of the other heads.

    Returns:
        [`DynExecConfig`]: the configuration that was written.

    Raises:
        `ValueError`: if there is no head, a head is damaged or does not fit the model, two heads have the same name,
            or `dynexec_config.json` does not belong to this model.
        `FileNotFoundError`: if `model_directory` is not such a directory.
    """
    directory = Path(model_directory)
    config = DynExecConfig.from_pretrained(directory)
    check_model_files(directory, config)
    backbone = ov.Core().read_model(directory / f"{BACKBONE}.xml")
    made = make_heads(backbone, config, heads, weight_format=weight_format, draft_weight_format=draft_weight_format)
    with staged_directory(directory, keep_others=True) as staging:
        # Read again, because another process may have written to it.
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
        backbone (`openvino.Model`): model that the heads are for.
        config ([`DynExecConfig`]): configuration of the model.
        heads (`str` or `Path`): safetensors file of a head, or a directory of such files.
        weight_format, draft_weight_format (`str`, *optional*): weight formats, see [`attach_heads`].

    Returns:
        `dict[str, HeadModel]`: the heads by name.

    Raises:
        `ValueError`: if there is no head, a head is damaged or does not fit the model, or two have the same name.
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
        made[shape.name] = HeadModel(
            model, card.get("backbone_hash"), card.get("agreement") or {}, card.get("training_texts")
        )
    return made


def _build(
    shape: HeadConfig, tensors: Mapping[str, np.ndarray], matrix: np.ndarray | None, weight_format: str
) -> ov.Model:
    if weight_format in WEIGHT_FORMATS:
        return build_head_ir(shape, tensors, matrix, weight_format=weight_format)
    return with_weight_format(build_head_ir(shape, tensors, matrix), weight_format)


def layers_of(heads: Mapping[str, HeadModel]) -> list[int]:
    """The layers of the exit heads among `heads`."""
    return list(exit_heads(heads))


def exit_heads(heads: Mapping[str, HeadModel]) -> dict[int, ov.Model]:
    """The models of the exit heads among `heads` by layer, ascending."""
    found = {head.config.layer: head.model for head in heads.values()}
    return {layer: found[layer] for layer in sorted(layer for layer in found if layer is not None)}


def write_heads(
    directory: str | Path, heads: Mapping[str, HeadModel], model_hash: str | None
) -> dict[str, AttachedHead]:
    """
    Writes the models of heads.

    Args:
        directory (`str` or `Path`): directory to write to.
        heads (`Mapping[str, HeadModel]`): heads by name.
        model_hash (`str`, *optional*): hash of the model that the heads are for.

    Returns:
        `dict[str, AttachedHead]`: the entries for the model's [`DynExecConfig`].
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
            training_texts=head.training_texts,
        )
    return entries


def read_heads(directory: str | Path, config: DynExecConfig, backbone: ov.Model) -> dict[str, HeadModel]:
    """
    Reads the heads in the directory of a model. Checks that they are the attached heads, are valid, and fit the model.

    Args:
        directory (`str` or `Path`): directory of the model.
        config ([`DynExecConfig`]): configuration of the model.
        backbone (`openvino.Model`): model that the heads are for.

    Returns:
        `dict[str, HeadModel]`: the heads by name.

    Raises:
        `ValueError`: if a head is missing, is not the attached one, is not valid, or does not fit the model; the
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
            head = HeadModel(ov.Core().read_model(path), entry.trained_on, dict(entry.metrics), entry.training_texts)
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
    """The training card in a head's file; `{}` if there is none."""
    with safe_open(str(file), framework="np") as opened:
        text = (opened.metadata() or {}).get("card", "{}")
    try:
        card = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{file} is not a head: its training card is not valid JSON ({error})") from error
    if not isinstance(card, dict):
        raise ValueError(f"{file} is not a head: its training card is not an object")
    return card
