"""The result of a tuning, which is stored in `dynexec_config.json`, and the check that it belongs to the model."""

import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..precision import DYNAMIC_QUANTIZATION, GROUP_MULTIPLE
from ..utils.cpus import usable_cpus
from ..utils.field_types import check_field_types
from .config import DynExecConfig
from .errors import TuningError


MAX_THREADS = 9999
# OpenVINO properties that `tune` chooses: whether a value is accepted, and what the values are.
ACCEPTED = {
    "INFERENCE_NUM_THREADS": (lambda value: value <= MAX_THREADS, f"'1' to '{MAX_THREADS}'"),
    DYNAMIC_QUANTIZATION: (lambda value: value % GROUP_MULTIPLE == 0, f"a multiple of {GROUP_MULTIPLE}"),
}


@dataclass(frozen=True)
class Tuning:
    """
    Result of a tuning: the fastest way to run a model.

    Args:
        objective (`str`): objective, `"latency"` or `"throughput"`.
        options (`dict[str, Any]`):
            For a decoder: arguments of `generate`. For a classifier: `early_exit` (`None`, `"calibrated"` or the
            fields of an [`~early_exit.EarlyExitConfig`]) and `batch_size`.
        precision (`str`): argument `precision` of `from_pretrained`.
        ov_config (`dict[str, str]`): OpenVINO properties. Accepted are `INFERENCE_NUM_THREADS` and, for the precision
            `"exact"` with compressed weights, `DYNAMIC_QUANTIZATION_GROUP_SIZE`.
        baseline (`dict[str, Any]`): name and seconds per token or sample of the untuned model.
        best (`dict[str, Any]`): name and seconds per token or sample of the chosen setting.
        loss (`float`, *optional*): for classifiers, loss on samples that were not used to choose.
        max_loss (`float`): limit of the loss.
        samples (`int`): number of prompts or samples on which `baseline` and `best` were measured.
        table (`list[dict[str, Any]]`): all settings that were tried.
        model_hash (`str`, *optional*): hash of the model.
        head_hashes (`dict[str, str]`): hashes of its heads, by name.
        machine (`dict[str, Any]`): the processor and the number of processors.
        versions (`dict[str, str]`): versions of the software.
        date (`str`): date in UTC, ISO 8601.
        data (`list[str]`): data for the measurements.
        seconds (`float`): duration of the tuning.
        speedup (`float`): speed-up of the chosen setting over the untuned model, in the typical round.
        speedup_interval (`list[float]`, *optional*): 95% interval of `speedup`; `None` where `best` is `baseline`.
        rounds (`int`): number of rounds of the last comparison of both.
        decision (`str`): reason for the choice of `best`, in a sentence.
        loss_interval (`list[float]`, *optional*): 95% interval of `loss`.
        loss_samples (`int`): number of samples on which `loss` was measured.
        full_accuracy (`float`, *optional*): for classifiers with labels, accuracy of the full model on all samples.
        full_accuracy_interval (`list[float]`, *optional*): 95% interval of `full_accuracy`.
        full_samples (`int`): number of samples on which `full_accuracy` was measured.
        group_sizes (`list[dict[str, Any]]`): for decoders, what the group sizes of dynamic quantization cost.
    """

    objective: str
    options: dict[str, Any]
    precision: str
    ov_config: dict[str, str]
    baseline: dict[str, Any]
    best: dict[str, Any]
    loss: float | None
    max_loss: float
    samples: int
    table: list[dict[str, Any]]
    model_hash: str | None
    head_hashes: dict[str, str]
    machine: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    data: list[str] = field(default_factory=list)
    seconds: float = 0.0
    speedup: float = 1.0
    speedup_interval: list[float] | None = None
    rounds: int = 0
    decision: str = ""
    loss_interval: list[float] | None = None
    loss_samples: int = 0
    full_accuracy: float | None = None
    full_accuracy_interval: list[float] | None = None
    full_samples: int = 0
    group_sizes: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Tuning":
        """
        Raises:
            [`TuningError`]: if a field is unknown, missing or of a wrong type.
        """
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise TuningError(f"unknown key {unknown[0]!r} in `tuning`; accepted are {known}")
        try:
            tuning = cls(**values)
        except TypeError as error:
            raise TuningError(f"the tuning is incomplete: {error}") from error
        try:
            check_field_types(tuning)
            check_properties(tuning.ov_config)
        except ValueError as error:
            raise TuningError(f"the tuning cannot be used: {error}") from error
        return tuning


def check_properties(ov_config: dict[str, str]) -> None:
    """
    Checks the OpenVINO properties of a tuning. A directory may come from anyone, and other properties write files.

    Raises:
        `ValueError`: if a property is not one that `tune` chooses, or does not have a value that it can choose.
    """
    for name, value in ov_config.items():
        if name not in ACCEPTED:
            raise ValueError(f"`ov_config` sets {name!r}; accepted are {list(ACCEPTED)}")
        accepted, what = ACCEPTED[name]
        if not re.fullmatch("[1-9][0-9]{0,5}", value) or not accepted(int(value)):
            raise ValueError(f"`ov_config[{name!r}]` is {value!r}; accepted is {what}")


def this_machine(device: str = "CPU") -> dict[str, Any]:
    """What a tuning depends on besides the model: the processor and the number of its threads."""
    import openvino as ov

    return {"device": device, "name": ov.Core().get_property(device, "FULL_DEVICE_NAME"), "cpus": usable_cpus()}


def head_hashes(config: DynExecConfig) -> dict[str, str]:
    """Hashes of a model's heads by name, from its configuration."""
    return {name: head.hash for name, head in sorted(config.heads.items())}


def why_stale(tuning: Tuning, config: DynExecConfig, device: str = "CPU") -> str | None:
    """
    The reason why a tuning does not belong to this model on this machine; `None` if it does.

    Args:
        tuning ([`Tuning`]): tuning to check.
        config ([`DynExecConfig`]):
            configuration of the model. Only its recorded hashes are compared: a wrong tuning costs only time, so
            reading the whole model at each load would be too much.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
    """
    if tuning.model_hash != config.model_hash:
        return "the model is not the one that was tuned"
    if tuning.head_hashes != head_hashes(config):
        return "its heads are not those that it was tuned with"
    if tuning.machine.get("device") != device:
        return f"it was tuned on the device {tuning.machine.get('device')}, and is loaded on {device}"
    here = this_machine(device)
    if tuning.machine != here:
        return f"it was tuned on {tuning.machine}, and this is {here}"
    return None


def load_tuning(directory: str | Path, device: str = "CPU") -> Tuning:
    """
    Reads the tuning of a model and checks that it is one of this model on this machine.

    Args:
        directory (`str` or `Path`): directory of the model.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.

    Raises:
        [`TuningError`]: if there is no tuning, or it is stale.
    """
    config = DynExecConfig.from_pretrained(directory)
    if config.tuning is None:
        raise TuningError(
            f"the model in {directory} is not tuned: run `optimum-cli dynexec tune {directory} --data ...`"
        )
    tuning = Tuning.from_dict(config.tuning)
    reason = why_stale(tuning, config, device)
    if reason is not None:
        raise TuningError(
            f"the tuning in {directory} is stale: {reason}; run `optimum-cli dynexec tune {directory} --data ...`"
        )
    return tuning
