"""What tuning has found, as it stands in `dynexec_config.json`, and whether it is still that of the model."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..utils.cpus import usable_cpus
from ..utils.field_types import check_field_types
from .config import DynExecConfig
from .errors import TuningError


@dataclass(frozen=True)
class Tuning:
    """
    How a model runs best.

    Args:
        objective (`str`): `"latency"` or `"throughput"`.
        options (`dict[str, Any]`):
            Of a decoder, arguments of `generate`. Of a classifier, `early_exit`: `None`, `"calibrated"` or the fields
            of an [`~early_exit.EarlyExitConfig`]; and `batch_size`.
        precision (`str`): of `from_pretrained`.
        ov_config (`dict[str, str]`): OpenVINO properties, such as `INFERENCE_NUM_THREADS`.
        baseline, best (`dict[str, Any]`): name and seconds per token or sample: without anything, and as chosen.
        loss (`float`, *optional*): of classifiers, on samples that nothing was chosen by.
        max_loss (`float`): that was allowed.
        samples (`int`): prompts or samples that `baseline` and `best` were measured on.
        table (`list[dict[str, Any]]`): everything that was tried.
        model_hash (`str`, *optional*): of the model.
        head_hashes (`dict[str, str]`): of its heads, by name.
        machine (`dict[str, Any]`): the processor and the number of processors.
        versions (`dict[str, str]`): of what ran.
        date (`str`): in UTC, ISO 8601.
        data (`list[str]`): that was measured on.
        seconds (`float`): that tuning took.
        speedup (`float`): of what was chosen, over running the model plainly, in the typical round.
        speedup_interval (`list[float]`, *optional*): the 95% interval of `speedup`; `None` where `best` is `baseline`.
        rounds (`int`): in which both were compared at last.
        decision (`str`): why `best` was chosen, in a sentence.
        loss_interval (`list[float]`, *optional*): the 95% interval of `loss`.
        loss_samples (`int`): that `loss` was measured on.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
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
        except ValueError as error:
            raise TuningError(f"the tuning cannot be used: {error}") from error
        return tuning


def this_machine(device: str = "CPU") -> dict[str, Any]:
    """What a tuning depends on beside the model: the processor, and how many of its threads there are."""
    import openvino as ov

    return {"device": device, "name": ov.Core().get_property(device, "FULL_DEVICE_NAME"), "cpus": usable_cpus()}


def head_hashes(config: DynExecConfig) -> dict[str, str]:
    """Hashes of a model's heads by name, as its configuration has them."""
    return {name: head.hash for name, head in sorted(config.heads.items())}


def why_stale(tuning: Tuning, config: DynExecConfig, device: str = "CPU") -> str | None:
    """
    Why a tuning is not one of this model on this machine; `None` if it is.

    Args:
        tuning ([`Tuning`]): as loaded.
        config ([`DynExecConfig`]): of the model. Its recorded hashes are compared: what a tuning chooses costs time at
            most, so that reading the whole model at every load would be out of proportion.
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
        directory (`str` or `Path`): of the model.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.

    Raises:
        [`TuningError`]: if there is none, or it is stale.
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
