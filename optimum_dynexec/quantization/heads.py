"""Copies the heads of a model to its quantized model, in the requested weight format."""

from dataclasses import replace
from pathlib import Path

from ..directory.attached_heads import write_heads
from ..directory.config import DynExecConfig
from ..directory.loading import read_export
from ..heads.weight_formats import check_weight_format, with_weight_format


def carry_heads(
    source: Path,
    target: Path,
    earlier: DynExecConfig,
    config: DynExecConfig,
    head_weight_format: str | None,
    draft_weight_format: str | None,
) -> DynExecConfig:
    """
    Writes the heads of an export to the directory of its quantized model.

    Args:
        source (`Path`): directory of the export.
        target (`Path`): directory of the quantized model.
        earlier ([`DynExecConfig`]): configuration of the export.
        config ([`DynExecConfig`]): configuration of the quantized model.
        head_weight_format (`str`, *optional*):
            weight format of all heads, checked by [`check_formats`]. If not set: unchanged.
        draft_weight_format (`str`, *optional*): weight format of the draft head. If not set: `head_weight_format`.

    Returns:
        [`DynExecConfig`]: `config` with the heads.

    Raises:
        `ValueError`: if a head is damaged.
    """
    heads = read_export(source)[2] if earlier.heads else {}
    for name, head in heads.items():
        drafts = head.config.layer is None
        wanted = (draft_weight_format or head_weight_format) if drafts else head_weight_format
        if wanted is not None:
            heads[name] = replace(head, model=with_weight_format(head.model, wanted))
    return replace(config, heads=write_heads(target, heads, config.model_hash))


def check_formats(config: DynExecConfig, head_weight_format: str | None, draft_weight_format: str | None) -> None:
    """
    Raises:
        `ValueError`: if a format is unknown, or is for a head that the model does not have.
    """
    for name, value, concerned in (
        ("head_weight_format", head_weight_format, list(config.heads)),
        ("draft_weight_format", draft_weight_format, [k for k, head in config.heads.items() if head.layer is None]),
    ):
        if value is None:
            continue
        check_weight_format(value, name)
        if not concerned:
            what = "draft head" if name.startswith("draft") else "heads"
            raise ValueError(f"`{name}` is {value!r}, but the model has no {what}: train and attach them first")
