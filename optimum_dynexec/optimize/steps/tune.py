"""How the model runs fastest here."""

from typing import Any

from ...tuning import TuningArguments, tune
from ..context import Context
from .calibrate import remaining_loss


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Tunes the model, and writes what is chosen into its configuration."""
    args = context.args
    arguments = TuningArguments(
        objective=context.recipe.tuned_for,
        max_loss=max(remaining_loss(context), 0.0),
        max_new_tokens=args.max_new_tokens,
        max_length=args.max_length,
        columns=context.kind.columns(args),
        time_limit=args.tuning_time,
        seed=args.seed,
    )
    found = tune(context.result, data=[context.part("calibrate")], arguments=arguments, progress=context.progress)
    lines = [f"tune: {row['name']}: {row['speedup']:.2f}x, {row['outcome']}" for row in found.table]
    lines.append(
        f"tune: {found.best['name']} chosen: {1e3 * found.best['seconds']:.2f} ms,"
        f" {1e3 * found.baseline['seconds']:.2f} without ({found.speedup:.2f}x)"
    )
    return {"tuning": {"options": found.options, "speedup": found.speedup}}, lines
