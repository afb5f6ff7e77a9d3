"""The outcome of a calibration, which is stored in `dynexec_config.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..utils.field_types import check_field_types
from ..utils.majority import majority_warning


if TYPE_CHECKING:
    from ..early_exit import EarlyExitConfig


# Readable names of risks.
RISK_WORDS = {
    "accuracy": "accuracy loss",
    "token_disagreement": "token disagreement",
    "disagreement": "disagreement with the full model",
}


@dataclass(frozen=True)
class Calibration:
    """
    Thresholds and the evidence about their risk: with probability `1 - delta` over the calibration data, the risk is
    at most `epsilon` on texts from the same distribution.

    Args:
        criterion (`str`): criterion, one of [`~early_exit.criterion_names`].
        thresholds (`Mapping[int, float]`): threshold for each exit layer.
        risk (`str`): name of the risk. Its unit is the text: the mean over texts of the mean over a text's tokens.
        epsilon (`float`, *optional*): largest risk; `None` with the method `"budget"`, which guarantees no risk.
        delta (`float`, *optional*):
            Probability of a larger risk; `None` with the method `"conformal"`, which bounds only the expected risk,
            and with `"budget"`.
        method (`str`): method, one of [`~calibration.methods.METHODS`], or `"budget"`.
        candidates (`str`):
            kind of candidates, one of [`~calibration.candidates.CANDIDATES`], or `"geometric"` for a budget.
        num_texts (`int`): number of texts on which the thresholds were tested.
        num_samples (`int`): number of tokens, or inputs, in these texts.
        num_tuning_texts (`int`): number of further texts that were used for the candidates or to train the criterion.
        measured_risk (`float`): risk on the test texts.
        p_value (`float`, *optional*): p-value of the hypothesis that the risk of these thresholds is above epsilon.
        upper_bound (`float`, *optional*):
            Upper bound of their risk with confidence `1 - delta`, if they had been chosen in advance.
        mean_layers (`float`): mean number of layers that were run per sample.
        num_layers (`int`): number of layers of the full model.
        exit_shares (`Mapping[int, float]`):
            share of the samples that left after each layer; the last layer is the full model.
        data_hash (`str`): hash of the records, see [`~calibration.ExitRecords`].
        model_hash (`str`, *optional*): hash of the model.
        head_hashes (`Mapping[int, str]`): hashes of the heads by layer.
        criterion_hash (`str`, *optional*): hash of the criterion's learned weights, if it has any.
        source (`Mapping[str, Any]`): origin of the texts.
        risk_interval (`list[float]`, *optional*):
            95% interval of `measured_risk`, computed over texts and not over tokens.
        budget_flops (`float`, *optional*):
            Requested mean share of the full model's operations, with the method `"budget"`.
        mean_flops (`float`, *optional*): measured mean share, for encoders only.
        full_accuracy (`float`, *optional*):
            Accuracy of the full model on the test texts; `None` without labels.
        accuracy (`float`, *optional*): accuracy of the model with these thresholds on the test texts.
        most_frequent (`float`, *optional*):
            Share of the test samples that have the most frequent label; `None` without one label for each.
        unit (`str`, *optional*, defaults to `"texts"`): what `num_texts` counts: `"texts"` or `"samples"`.
        calibrated_on (`str`, *optional*): date and time, UTC, in ISO format.

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
    most_frequent: float | None = None
    unit: str = "texts"
    calibrated_on: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("thresholds", "exit_shares", "head_hashes"):
            values = getattr(self, name)
            try:
                object.__setattr__(self, name, {int(layer): value for layer, value in dict(values).items()})
            except (TypeError, ValueError):
                raise ValueError(f"`{name}` must have layers as keys, but it is {values!r}") from None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as plain values for JSON; layers are strings, as in JSON."""
        values = asdict(self)
        for name in ("thresholds", "exit_shares", "head_hashes"):
            values[name] = {str(layer): value for layer, value in values[name].items()}
        return values

    @classmethod
    def from_dict(cls, values: object) -> "Calibration":
        """
        Reads the result of [`~Calibration.to_dict`].

        Raises:
            `ValueError`: if a field is missing, is unknown or has a wrong type. The message names it.
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
        The configuration of early exit with these thresholds.

        Args:
            options (*optional*): `kv` and `prefill` of the [`~early_exit.EarlyExitConfig`].
        """
        from ..early_exit import EarlyExitConfig

        return EarlyExitConfig(self.criterion, thresholds=self.thresholds, **options)

    @property
    def risk_words(self) -> str:
        """The name of the risk as readers know it."""
        return RISK_WORDS.get(self.risk, self.risk)

    @property
    def guarantee(self) -> str:
        """The guarantee, in one sentence."""
        texts, risk = f"{self.num_texts} {self.unit}", self.risk_words
        if self.epsilon is None:
            return (
                f"no risk is guaranteed; thresholds for {percent(self.budget_flops)} of the full model's operations"
                f" ({texts})"
            )
        if self.delta is None:
            return f"expected {risk} at most {percent(self.epsilon)} (conformal risk control, {texts})"
        return (
            f"{risk} at most {percent(self.epsilon)} with confidence {percent(1 - self.delta)} ({self.method},"
            f" {texts})"
        )

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the full model, as far as the labels show it; a sentence for each."""
        warning = majority_warning(self.full_accuracy, self.num_texts, self.most_frequent)
        return [] if warning is None else [warning]


def percent(share: float | None) -> str:
    """With as many digits as the share was given with, so that a limit is not rounded."""
    return "unknown" if share is None else f"{100 * share:.6g}%"
