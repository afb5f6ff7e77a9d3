"""The configuration file of a step predictor."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..checks import check_number, check_whole


STEP_SAVER_DIRECTORY = "step_saver"
STEP_SAVER_CONFIG_NAME = "step_saver_config.json"


@dataclass(frozen=True)
class StepSaverConfig:
    """
    Configuration of a step predictor.

    Args:
        steps (`list[int]`): step counts that the predictor chooses from, ascending. The last one is the reference.
        delta (`float`): allowed probability that a prompt needs more steps than predicted, between 0 and 1.
        offset (`float`, *optional*):
            number that conformalisation adds to the predicted logarithm (base 2) of the steps. `None`: there were not
            enough prompts for the guarantee, so the last count is always predicted.
        rule (`str`): rule that determines the number of steps an image needs, one of [`~step_saver.LABEL_RULES`].
        tau (`float`): threshold of the rule.
        max_length (`int`): number of tokens of a prompt that are read.
        pipeline_hash (`str`, *optional*): SHA-256 of the UNet or transformer that the predictor was trained for.
        call (`dict[str, Any]`): arguments of the pipeline in the sweep, and the class of the scheduler.
        metrics (`dict[str, Any]`): measurements of the training.

    Raises:
        `ValueError`: if a value is not accepted.
    """

    steps: list[int]
    delta: float
    offset: float | None
    rule: str
    tau: float
    max_length: int
    pipeline_hash: str | None = None
    call: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_steps(self.steps)
        check_number("delta", self.delta, 0, 1)
        if self.offset is not None:
            check_number("offset", self.offset, -64, 64)
        check_whole("max_length", self.max_length, 1)

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "StepSaverConfig":
        """
        Reads the configuration in a predictor's directory.

        Raises:
            `ValueError`: if it is not valid. The message names the file.
        """
        path = Path(directory) / STEP_SAVER_CONFIG_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            known = {f.name for f in fields(cls)}
            if not isinstance(values, dict) or not set(values) <= known:
                raise ValueError(f"its keys must be among {sorted(known)}")
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"


def check_steps(steps: object) -> None:
    """
    Raises:
        `ValueError`: if it is not an ascending list of at least two counts.
    """
    if not isinstance(steps, list) or len(steps) < 2:
        raise ValueError(f"`steps` must be a list of two or more step counts, but it is {steps!r}")
    for count in steps:
        check_whole("steps", count, 1)
    if sorted(set(steps)) != steps:
        raise ValueError(f"`steps` must be ascending, but it is {steps!r}")
