"""The steps in their order. A step is a module with `run`, and a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..context import Context
from . import baseline, benchmark, calibrate, data, export, fine_tune, heads, quantize, report, tune


@dataclass(frozen=True)
class Step:
    """
    A step.

    Args:
        name (`str`): in the state and for people.
        run (`Callable`):
            Does it. Gives what it has found, as JSON can hold it, with `places`: what must be there for it to be done;
            and lines that say what was decided and why.
        uses (`tuple[str, ...]`): fields of the arguments that it depends on, beside the steps before it.
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
