"""The model directories that the systems load."""

import hashlib
from pathlib import Path

from transformers import AutoConfig

from optimum_dynexec import export_dynexec
from optimum_dynexec.directory.config import DYNEXEC_CONFIG_NAME, DynExecConfig


OPENVINO_MODEL = "openvino_model.xml"
WEIGHT_FORMATS = ("fp32", "fp16", "int8", "int4")
# Unlike the default of 128, it divides the layer widths of small models.
INT4_GROUP_SIZE = 64


def is_exported(model: str) -> bool:
    """Whether `model` is a directory with an OpenVINO model."""
    return (Path(model) / OPENVINO_MODEL).is_file()


def attached_heads(directory: Path) -> dict[str, str]:
    """Hashes of the heads that are attached to a model, by name."""
    if not (directory / DYNEXEC_CONFIG_NAME).is_file():
        return {}
    return {name: head.hash for name, head in DynExecConfig.from_pretrained(directory).heads.items()}


def exported(model: str, weight_format: str, directory: Path, heads: Path | None = None) -> Path:
    """
    Returns a directory with the OpenVINO model of `model` in `weight_format`, exported on the first call.

    Args:
        model (`str`): id on the Hub, or directory of a transformers model.
        weight_format (`str`): weight format, one of [`WEIGHT_FORMATS`].
        directory (`Path`): directory for exports.
        heads (`Path`, *optional*): directory of heads to attach to the model.
    """
    suffix = "" if heads is None else f"-heads-{_hash_heads(heads)}"
    output = directory / f"{Path(model).name}-{weight_format}{suffix}"
    if not is_exported(str(output)):
        options = {"group_size": INT4_GROUP_SIZE} if weight_format == "int4" else {}
        export_dynexec(
            model, output, task="text-generation-with-past", weight_format=weight_format, heads=heads, **options
        )
    return output


def _hash_heads(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def eos_token_ids(directory: Path) -> list[int]:
    """The tokens that end an answer, from `generation_config.json` or else from `config.json`."""
    from transformers import GenerationConfig

    try:
        eos = GenerationConfig.from_pretrained(directory).eos_token_id
    except OSError:
        eos = AutoConfig.from_pretrained(directory).eos_token_id
    if eos is None:
        raise ValueError(f"{directory} contains no eos_token_id")
    return list(eos) if isinstance(eos, list) else [eos]
