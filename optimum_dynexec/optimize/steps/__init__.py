"""The steps in their order. A step is a module with `run`, and a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..context import Context
from . import baseline, benchmark, calibrate, data, export, fine_tune, heads, quantize, report, tune


@dataclass(frozen=True)
class Step:
    """
    A step of an optimization.

    Args:
        name (`str`): name in the state and in the output.
        run (`Callable`):
            Function that runs the step. It gives the results as JSON values, in which `places` are the files that must
            exist for the step to be done; and lines with the decisions and their reasons.
        uses (`tuple[str, ...]`): fields of the arguments that the step depends on, in addition to the earlier steps.
    """

    name: str
    run: Callable[[Context], tuple[dict[str, Any], list[str]]]
    uses: tuple[str, ...]


STEPS = (
    Step("data", data.run, ("max_samples", "columns", "seed", "fine_tune")),
    Step("fine-tune", fine_tune.run, ("fine_tune_epochs", "max_length")),
    Step("export", export.run, ()),
    Step("baseline", baseline.run, ("accuracy_check",)),
    Step(
        "quantize",
        quantize.run,
        ("recipe", "formats", "max_loss", "quantization_samples", "max_new_tokens", "max_length"),
    ),
    Step("heads", heads.run, ("heads", "train", "layers", "epochs", "vocab_size")),
    Step("calibrate", calibrate.run, ("delta",)),
    Step("tune", tune.run, ("tuning_time",)),
    Step("benchmark", benchmark.run, ("benchmark_samples", "max_loss")),
    Step("report", report.run, ()),
)
