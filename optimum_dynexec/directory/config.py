"""The configuration of an exported directory for dynamic execution: `dynexec_config.json`."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..heads.config import KINDS
from ..precision import GROUP_MULTIPLE
from ..utils.atomic import write_atomically


DYNEXEC_CONFIG_NAME = "dynexec_config.json"
FORMAT_VERSION = 1
DECODER_TASK = "text-generation-with-past"
# For each task, the class name of its models after `Auto`, `OV` or `DynExec`.
MODEL_CLASSES = {
    DECODER_TASK: "ModelForCausalLM",
    "text-classification": "ModelForSequenceClassification",
    "token-classification": "ModelForTokenClassification",
    "question-answering": "ModelForQuestionAnswering",
    "feature-extraction": "ModelForFeatureExtraction",
    "image-classification": "ModelForImageClassification",
    "audio-classification": "ModelForAudioClassification",
}
ENCODER_TASKS = tuple(task for task in MODEL_CLASSES if task != DECODER_TASK)
# The tasks with one label per sample whose data the commands can read.
CLASSIFIER_TASKS = ("text-classification", "image-classification")


@dataclass(frozen=True)
class AttachedHead:
    """
    The entry of a head whose model is in the same directory.

    Args:
        kind (`str`):
            Kind of the head, one of [`~heads.config.KINDS`].
        layer (`int`, *optional*):
            Layer whose hidden states the head reads; `None` exactly for the kind `"draft"`.
        file (`str`):
            Name of the head's `.xml` file. Its `.bin` file is in the same directory.
        hash (`str`):
            SHA-256 over both files, from [`~directory.hashes.hash_model`]. Other files are not loaded.
        trained_on (`str`, *optional*):
            `model_hash` of the export that the head was trained on, if known. The head may be used with another
            export of the same model, a quantized one for example: the model verifies what the head proposes.
        attached_to (`str`, *optional*):
            `model_hash` of the export that the head was attached to.
        metrics (`dict[str, Any]`, *optional*, defaults to `{}`):
            Measurements of the head's training.
        training_texts (`str`, *optional*):
            Hashes of some texts that the head was trained on, from [`~data.overlap.sketch`].

    Raises:
        `ValueError`: if a value is not accepted; the message names the field, the value and what is accepted.
    """

    kind: str
    layer: int | None
    file: str
    hash: str
    trained_on: str | None = None
    attached_to: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    training_texts: str | None = None

    def __post_init__(self) -> None:
        _check_fields(self, _ACCEPTED_OF_HEADS)
        if (self.layer is None) != (self.kind == "draft"):
            raise ValueError(f"`layer` must be null exactly for the kind 'draft', but it is {self.layer!r}")

    @classmethod
    def from_dict(cls, values: object) -> "AttachedHead":
        """
        Makes an entry from its JSON object in `dynexec_config.json`.

        Raises:
            `ValueError`: if a field is unknown or missing, or its value is not accepted.
        """
        if not isinstance(values, dict):
            raise ValueError(f"a head must be a JSON object, but it is {values!r}")
        known = [f.name for f in fields(cls)]
        wrong = sorted({*values, "kind", "layer", "file", "hash"} - ({*values} & {*known}))
        if wrong:
            raise ValueError(f"the key {wrong[0]!r} of a head is unknown or missing; the keys are {known}")
        return cls(**values)


@dataclass
class DynExecConfig:
    """
    Configuration of a model for dynamic execution. It is stored in `dynexec_config.json`, in the model's directory.

    Args:
        format_version (`int`, *optional*, defaults to 1):
            Version of the file's layout.
        task (`str`, *optional*, defaults to `"text-generation-with-past"`):
            Task that the model was exported for.
        exit_layers (`list[int]`, *optional*, defaults to `[]`):
            Layers after which a token, or a whole input of an encoder, may leave the model, ascending. The first layer
            is 0. The last layer is not an exit. The model is cut after all of these layers, with or without a head.
        hidden_state_names (`dict[int, str]`, *optional*, defaults to `{}`):
            For each layer, the friendly name of the node in the model whose output is the hidden state after it.
            Empty if the model cannot be cut between its layers.
        pageable (`bool`, *optional*, defaults to `True`):
            Whether the model can run with a paged KV cache, which speculation needs.
        pageable_reason (`str`, *optional*):
            Reason why it cannot; given exactly if `pageable` is `False`.
        versions (`dict[str, str]`, *optional*, defaults to `{}`):
            Versions of the packages that the export was made with.
        model_hash (`str`, *optional*):
            SHA-256 over the whole `.xml` and `.bin` file of the model, from [`~directory.hashes.hash_model`].
        model_fingerprint (`str`, *optional*):
            Fingerprint of the same files, from [`~directory.hashes.fingerprint_model`]. Other files are not loaded
            with this configuration. Without a fingerprint, `model_hash` decides.
        heads (`dict[str, AttachedHead]`, *optional*, defaults to `{}`):
            Heads in the directory by name: `draft_head`, or `exit_head_` and the layer.
        calibration (`dict[str, Any]`, *optional*):
            Thresholds for early exit and their guarantee: the fields of a [`~calibration.Calibration`].
        tuning (`dict[str, Any]`, *optional*):
            Fastest settings that were measured: the fields of a [`~tuning.Tuning`].
        group_size (`int`, *optional*):
            Group size of OpenVINO's dynamic quantization for the precision `"exact"`, a multiple of 32. It was
            measured at the export. If not set: OpenVINO's own. A tuning decides anew.

    Raises:
        `ValueError`: if a value is not accepted; the message names the field, the value and what is accepted.
    """

    format_version: int = FORMAT_VERSION
    task: str = DECODER_TASK
    exit_layers: list[int] = field(default_factory=list)
    hidden_state_names: dict[int, str] = field(default_factory=dict)
    pageable: bool = True
    pageable_reason: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    model_hash: str | None = None
    model_fingerprint: str | None = None
    heads: dict[str, AttachedHead] = field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    tuning: dict[str, Any] | None = None
    group_size: int | None = None

    def __post_init__(self) -> None:
        _check_fields(self, _ACCEPTED)
        self.exit_layers = sorted(set(self.exit_layers))
        check_exit_layers(self.exit_layers, len(self.hidden_state_names))
        if self.pageable != (self.pageable_reason is None):
            raise ValueError(
                "`pageable_reason` must be given exactly if `pageable` is false, but they are "
                f"{self.pageable_reason!r} and {self.pageable!r}"
            )
        for name, head in self.heads.items():
            expected = head_name(head.layer)
            if name != expected:
                raise ValueError(f"the head for layer {head.layer!r} must be called {expected!r}, not {name!r}")
            if head.layer is not None and head.layer >= len(self.hidden_state_names) - 1:
                raise ValueError(
                    f"`heads` has {name!r}, but the model with {len(self.hidden_state_names)} layers has no such exit"
                )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DynExecConfig":
        """
        Makes a configuration from the result of [`~DynExecConfig.to_dict`] or the content of the JSON file.

        Args:
            values (`dict[str, Any]`):
                Fields by name; the layers in `hidden_state_names` may be strings.

        Raises:
            `ValueError`: if a field is unknown or its value is not accepted.
        """
        if not isinstance(values, dict):
            raise ValueError(f"a DynExecConfig must be a JSON object, but it is {values!r}")
        version = values.get("format_version", FORMAT_VERSION)
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ValueError(
                f"`format_version` is {version}, but this optimum-dynexec reads versions up to {FORMAT_VERSION}: "
                "update optimum-dynexec, or export the model again with this version"
            )
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r} (value {values[unknown[0]]!r}); accepted are {known}")
        names = values.get("hidden_state_names", {})
        if isinstance(names, dict):
            values = {**values, "hidden_state_names": {_as_layer(layer): name for layer, name in names.items()}}
        heads = values.get("heads", {})
        if isinstance(heads, dict):
            values = {**values, "heads": {name: AttachedHead.from_dict(head) for name, head in heads.items()}}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "DynExecConfig":
        """
        Reads the configuration of an exported directory.

        Args:
            directory (`str` or `Path`):
                Directory that holds `dynexec_config.json`.

        Raises:
            `FileNotFoundError`: if the directory has no such file.
            `ValueError`: if the file is not valid; the message names the file and what is wrong in it.
        """
        path = Path(directory) / DYNEXEC_CONFIG_NAME
        if not path.is_file():
            raise FileNotFoundError(f"{directory} has no {DYNEXEC_CONFIG_NAME}: {what_it_is_instead(directory)}")
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {error}") from error

    def save_pretrained(self, directory: str | Path) -> None:
        """
        Writes `dynexec_config.json`, completely or not at all.

        Args:
            directory (`str` or `Path`):
                Directory to write to. It is created if it does not exist.
        """
        Path(directory).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, sort_keys=False) + "\n"
        write_atomically(Path(directory) / DYNEXEC_CONFIG_NAME, text.encode())


def what_it_is_instead(directory: str | Path) -> str:
    """
    Says what a directory without `dynexec_config.json` is, and what to do.

    Args:
        directory (`str` or `Path`): directory, which may not exist.
    """
    # Unlike those of pathlib, these functions accept names that are too long for a file.
    if not os.path.isdir(directory):
        return "there is no such directory. Export the model with `optimum-cli export dynexec`, and give its output"
    files = {*os.listdir(directory)}
    if "openvino_model.xml" in files:
        return (
            "it was exported without its layers being marked. Mark them with `optimum-cli export dynexec --model"
            f" {directory} OUTPUT`"
        )
    if "config.json" in files:
        return f"it is not exported yet. Export it with `optimum-cli export dynexec --model {directory} OUTPUT`"
    return "it holds no model, neither config.json nor openvino_model.xml"


def head_name(layer: int | None) -> str:
    """
    Gives the name of a head.

    Args:
        layer (`int`, *optional*): layer of an exit head; `None` for the draft head.
    """
    return "draft_head" if layer is None else f"exit_head_{layer}"


def check_exit_layers(exit_layers: list[int], num_layers: int) -> None:
    """
    Checks that the model can be cut after the exit layers.

    Args:
        exit_layers (`list[int]`):
            Layers to exit after.
        num_layers (`int`):
            Number of layers of the model; 0 if it cannot be cut.

    Raises:
        `ValueError`: if one of the exit layers does not exist, or is the last layer, which is not an exit.
    """
    wrong = [layer for layer in exit_layers if not 0 <= layer < num_layers - 1]
    if wrong and num_layers > 1:
        raise ValueError(
            f"`exit_layers` must be between 0 and {num_layers - 2}, as the model has {num_layers} layers and the last "
            f"is no exit, but {wrong[0]} is among {exit_layers}"
        )
    if wrong:
        raise ValueError(
            f"`exit_layers` must be empty, as the model has no layer to exit after, but it is {exit_layers}"
        )


def _check_fields(config: object, table: dict[str, tuple[Callable[[Any], bool], str]]) -> None:
    for name, (accepts, accepted) in table.items():
        value = getattr(config, name)
        if not accepts(value):
            raise ValueError(f"`{name}` must be {accepted}, but it is {value!r}")


def _as_layer(key: object) -> object:
    """A key of a JSON object as a layer. A key that is not a layer is left as it is, for the check to report."""
    return int(key) if isinstance(key, str) and re.fullmatch(r"0|[1-9][0-9]{0,5}", key) else key


def _is_layer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("sha256:[0-9a-f]{64}", value) is not None


# For each field, the check of its value and the description of the accepted values in the error message.
_ACCEPTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format_version": (
        lambda value: _is_layer(value) and 1 <= value <= FORMAT_VERSION,
        f"an integer from 1 to {FORMAT_VERSION}",
    ),
    "task": (
        lambda value: value in (DECODER_TASK, *ENCODER_TASKS),
        f"one of {[DECODER_TASK, *ENCODER_TASKS]}",
    ),
    "exit_layers": (
        lambda value: isinstance(value, list) and all(map(_is_layer, value)),
        "a list of integers from 0",
    ),
    "hidden_state_names": (
        lambda value: (
            isinstance(value, dict)
            and all(map(_is_layer, value))
            and sorted(value) == list(range(len(value)))
            and all(map(_is_name, value.values()))
        ),
        "the name of a node for each layer from 0, without a gap",
    ),
    "pageable": (lambda value: isinstance(value, bool), "true or false"),
    "pageable_reason": (lambda value: value is None or _is_name(value), "a text or null"),
    "versions": (
        lambda value: isinstance(value, dict) and all(map(_is_name, [*value, *value.values()])),
        "a version for each package name",
    ),
    **{
        name: (lambda value: value is None or _is_hash(value), "'sha256:' and 64 hexadecimal digits, or null")
        for name in ("model_hash", "model_fingerprint")
    },
    "heads": (
        lambda value: (
            isinstance(value, dict)
            and all(map(_is_name, value))
            and all(isinstance(head, AttachedHead) for head in value.values())
        ),
        "a head for each name",
    ),
    **{
        name: (lambda value: value is None or isinstance(value, dict), "an object or null")
        for name in ("calibration", "tuning")
    },
    "group_size": (
        lambda value: value is None or (_is_layer(value) and value > 0 and value % GROUP_MULTIPLE == 0),
        f"a multiple of {GROUP_MULTIPLE}, or null",
    ),
}
# The same for the fields of a head.
_ACCEPTED_OF_HEADS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kind": (lambda value: value in KINDS, f"one of {list(KINDS)}"),
    "layer": (lambda value: value is None or _is_layer(value), "an integer from 0, or null"),
    # A name, not a path: nothing outside the directory is read.
    "file": (
        lambda value: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]+\.xml", value) is not None,
        "the name of an .xml file",
    ),
    "hash": (_is_hash, "'sha256:' and 64 hexadecimal digits"),
    **{
        name: (lambda value: value is None or _is_hash(value), "'sha256:' and 64 hexadecimal digits, or null")
        for name in ("trained_on", "attached_to")
    },
    "metrics": (lambda value: isinstance(value, dict), "an object"),
    "training_texts": (lambda value: value is None or isinstance(value, str), "a text, or null"),
}
