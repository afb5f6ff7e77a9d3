"""The outcome of a calibration, as it stands in `dynexec_config.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..utils.field_types import check_field_types


if TYPE_CHECKING:
    from ..early_exit import EarlyExitConfig


# What people call a risk, which is named after what it is a risk for.
RISK_WORDS = {"accuracy": "accuracy loss", "token_disagreement": "token disagreement"}


@dataclass(frozen=True)
class Calibration:
    """
    Thresholds, and what is known of their risk: with probability `1 - delta` over the calibration data, the risk is at
    most `epsilon` on texts drawn as those were.

    Args:
        criterion (`str`): one of [`~early_exit.criterion_names`].
        thresholds (`Mapping[int, float]`): one for each layer where inputs may leave.
        risk (`str`): name of the risk. Its unit is the text: the mean over texts of the mean over a text's tokens.
        epsilon (`float`, *optional*): the risk allowed; `None` with the method `"budget"`, which guarantees none.
        delta (`float`, *optional*):
            Probability that it is more; `None` with the method `"conformal"`, which bounds the expected risk only, and
            with `"budget"`.
        method (`str`): one of [`~calibration.methods.METHODS`], or `"budget"`.
        candidates (`str`): one of [`~calibration.candidates.CANDIDATES`], or `"geometric"` for a budget.
        num_texts (`int`): texts the thresholds were tested on.
        num_samples (`int`): tokens, or inputs, in them.
        num_tuning_texts (`int`): further texts that drew the candidates or taught the criterion.
        measured_risk (`float`): on the texts tested.
        p_value (`float`, *optional*): of the hypothesis that the risk of these thresholds is above epsilon.
        upper_bound (`float`, *optional*):
            What their risk is below with confidence `1 - delta`, were they chosen beforehand.
        mean_layers (`float`): layers that were run per sample.
        num_layers (`int`): layers of the full model.
        exit_shares (`Mapping[int, float]`): how many of the samples left after each layer, the last being the full
            model.
        data_hash (`str`): of the records, see [`~calibration.ExitRecords`].
        model_hash (`str`, *optional*): of the model.
        head_hashes (`Mapping[int, str]`): of the heads by their layer.
        criterion_hash (`str`, *optional*): of the criterion's learned weights, if it has any.
        source (`Mapping[str, Any]`): where the texts came from.
        risk_interval (`list[float]`, *optional*): the 95% interval of `measured_risk`; of the texts, not their tokens.
        budget_flops (`float`, *optional*):
            With the method `"budget"`, the mean share of the full model's arithmetic asked for.
        mean_flops (`float`, *optional*): that share as measured; of encoders only.
        full_accuracy (`float`, *optional*):
            How often the full model is right on the texts tested; `None` without labels.
        accuracy (`float`, *optional*): how often the model that leaves by these thresholds is.

    Raises:
        `ValueError`: if the layers are not whole numbers.
    """

    criterion: str
    thresholds: Mapping[int, float]
    risk: str
    epsilon: float | None
    delta: float | None
    method: str
    candidates: str
    num_texts: int
    num_samples: int
    num_tuning_texts: int
    measured_risk: float
    p_value: float | None
    upper_bound: float | None
    mean_layers: float
    num_layers: int
    exit_shares: Mapping[int, float]
    data_hash: str
    model_hash: str | None = None
    head_hashes: Mapping[int, str] = field(default_factory=dict)
    criterion_hash: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    budget_flops: float | None = None
    mean_flops: float | None = None
    risk_interval: list[float] | None = None
    full_accuracy: float | None = None
    accuracy: float | None = None

    def __post_init__(self) -> None:
        for name in ("thresholds", "exit_shares", "head_hashes"):
            values = getattr(self, name)
            try:
                object.__setattr__(self, name, {int(layer): value for layer, value in dict(values).items()})
            except (TypeError, ValueError):
                raise ValueError(f"`{name}` must have layers as keys, but it is {values!r}") from None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as plain values that JSON can hold; layers as strings, as JSON has them."""
        values = asdict(self)
        for name in ("thresholds", "exit_shares", "head_hashes"):
            values[name] = {str(layer): value for layer, value in values[name].items()}
        return values

    @classmethod
    def from_dict(cls, values: Any) -> "Calibration":
        """
        Reads what [`~Calibration.to_dict`] gave.

        Raises:
            `ValueError`: if a field is missing, unknown or of a wrong type; the message names it.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or not set(values) <= known:
            raise ValueError(f"a calibration must be an object with the fields {sorted(known)}, but it is {values!r}")
        try:
            calibration = cls(**values)
        except TypeError as error:
            raise ValueError(f"the calibration is incomplete: {error}") from error
        check_field_types(calibration)
        return calibration

    def early_exit(self, **options: Any) -> "EarlyExitConfig":
        """
        How to leave by these thresholds.

        Args:
            options: `kv` and `prefill` of the [`~early_exit.EarlyExitConfig`].
        """
        from ..early_exit import EarlyExitConfig

        return EarlyExitConfig(self.criterion, thresholds=self.thresholds, **options)

    @property
    def guarantee(self) -> str:
        """What is guaranteed, in one sentence."""
        texts, risk = f"{self.num_texts} texts", RISK_WORDS.get(self.risk, self.risk)
        if self.epsilon is None:
            return (
                f"nothing of the risk; thresholds for {self.budget_flops:g} of the full model's arithmetic ({texts})"
            )
        if self.delta is None:
            return f"expected {risk} at most {self.epsilon:g} (conformal risk control, {texts})"
        return f"{risk} at most {self.epsilon:g} with confidence {1 - self.delta:g} ({self.method}, {texts})"
