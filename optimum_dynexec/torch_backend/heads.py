"""Loads trained heads from their files as torch modules."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..heads.config import DecoderHeadConfig, EncoderHeadConfig
from ..heads.modules import HeadModule, make_head
from ..heads.modules.encoder import EncoderHeadModule
from ..heads.storage import SUFFIX, load_head
from ..heads.tensors import check_tensors


if TYPE_CHECKING:
    from transformers import PreTrainedModel


Family = TypeVar("Family", DecoderHeadConfig, EncoderHeadConfig)

HEAD_FILES = ("draft_head", "exit_head_*")


def find_head_files(heads: str | Path | None, model_id: str | Path) -> list[Path]:
    """
    Finds the files of heads.

    Args:
        heads (`str` or `Path`, *optional*):
            a safetensors file, or a directory with such files. If not set: the files with the names of heads in the
            directory of the checkpoint.
        model_id (`str` or `Path`): id or directory of the checkpoint.

    Raises:
        `ValueError`: if `heads` contains no head.
    """
    if heads is None:
        return sorted(file for name in HEAD_FILES for file in Path(model_id).glob(name + SUFFIX))
    path = Path(heads)
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} contains no heads: it has no {SUFFIX} file")
    return files


def load_decoder_heads(files: list[Path], model: "PreTrainedModel", layers: int) -> dict[int | None, HeadModule]:
    """
    Loads heads of a decoder.

    Args:
        files (`list[Path]`): files of the heads.
        model (`transformers.PreTrainedModel`): decoder, whose unembedding the heads may share.
        layers (`int`): number of the decoder's layers.

    Returns:
        `dict[int | None, HeadModule]`: the heads by layer; the draft head has the key `None`.

    Raises:
        `ValueError`: if a file is not a head of this model.
    """
    output = model.get_output_embeddings()
    heads: dict[int | None, HeadModule] = {}
    for file in files:
        config, tensors = _checked(file, layers, model.config.get_text_config().hidden_size, DecoderHeadConfig)
        own = tensors.pop("unembedding.weight", None)
        if own is None and getattr(output, "bias", None) is not None:
            raise ValueError(f"{file} does not fit the model: its unembedding has a bias, so a head cannot share it")
        if config.vocab_size != output.weight.shape[0]:
            raise ValueError(f"{file} does not fit the model: its vocabulary is {config.vocab_size}")
        values = {name: torch.from_numpy(value) for name, value in tensors.items()}
        head = make_head(config, values["token_ids"], output.weight.detach().float().cpu())
        head.load_state_dict(values)
        if own is not None:
            head.unembedding_rows = torch.from_numpy(own)
        _add(heads, head, file)
    return heads


def load_encoder_heads(files: list[Path], model: "PreTrainedModel", layers: int) -> dict[int, EncoderHeadModule]:
    """
    Loads exit heads of an encoder; see [`load_decoder_heads`].
    """
    heads: dict[int, EncoderHeadModule] = {}
    for file in files:
        config, tensors = _checked(file, layers, model.config.get_text_config().hidden_size, EncoderHeadConfig)
        if config.layout != "tokens":
            raise ValueError(f"{file}: heads with the layout {config.layout!r} are for the OpenVINO classes only")
        head = EncoderHeadModule(config)
        head.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
        _add(heads, head, file)
    return heads


def _checked(file: Path, layers: int, hidden_size: int, family: type[Family]) -> tuple[Family, dict[str, Any]]:
    config, tensors = load_head(file)
    try:
        check_tensors(config, tensors)
        if not isinstance(config, family):
            raise ValueError(f"it is of kind {config.kind!r}, which is for models with other outputs")
        if config.hidden_size != hidden_size:
            raise ValueError(
                f"it is for hidden states of width {config.hidden_size}, but those of the model have width"
                f" {hidden_size}"
            )
        config.check_layers(layers)
    except ValueError as error:
        raise ValueError(f"{file} does not fit the model: {error}") from error
    return config, tensors


def _add(heads: dict[Any, Any], head: HeadModule | EncoderHeadModule, file: Path) -> None:
    if head.config.layer in heads:
        raise ValueError(f"{file.parent} contains two heads with the name {head.config.name}")
    heads[head.config.layer] = head.eval()


def scatter(words: torch.Tensor, head: HeadModule) -> torch.Tensor:
    """The logits of a head for the whole vocabulary: `-inf` for tokens that the head cannot predict."""
    logits = torch.full((head.config.vocab_size,), float("-inf"), device=words.device)
    return logits.index_copy_(0, head.token_ids, words.float())


def of_layers(heads: Mapping[int | None, Any], exit_layers: list[int] | None) -> dict[Any, Any]:
    """
    The exit heads at some layers, ascending, and the draft head.

    Raises:
        `ValueError`: if there is no exit head at a layer.
    """
    there = sorted(layer for layer in heads if layer is not None)
    missing = sorted(set(exit_layers or ()) - set(there))
    if missing:
        raise ValueError(f"`exit_layers` names layer {missing[0]}, but there are exit heads after {there}")
    chosen: list[int | None] = [layer for layer in there if exit_layers is None or layer in exit_layers]
    return {layer: heads[layer] for layer in [*chosen, *([None] if None in heads else [])]}
