"""Tunes the model for this machine."""

from typing import Any

from ...tuning import TuningArguments, tune
from ...utils.intervals import interval_text
from ..context import Context
from .calibrate import remaining_loss


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Tunes the model and writes the choice to its configuration."""
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
    lines.append(f"tune: {found.best['name']} chosen: {found.decision}")
    if found.speedup_interval is not None:
        low, high = found.speedup_interval
        lines.append(
            f"tune: {1e3 * found.best['seconds']:.2f} ms, {1e3 * found.baseline['seconds']:.2f} ms without tuning:"
            f" {found.speedup:.2f}x (95% interval {low:.2f} to {high:.2f}, {found.rounds} rounds)"
        )
    if found.full_accuracy is not None:
        interval = interval_text(found.full_accuracy_interval)
        lines.append(
            f"tune: accuracy {found.full_accuracy:.2%} of the full model ({interval}, {found.full_samples} samples)"
        )
    if found.loss_samples:
        lines.append(
            f"tune: loss {found.loss:.2%} ({interval_text(found.loss_interval)}, {found.loss_samples} samples)"
        )
    return {"tuning": {"options": found.options, "speedup": found.speedup}}, lines
