"""The scores of exits on held-out samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...utils.intervals import Interval, interval_text, proportion_interval
from ...utils.majority import majority_warning


# With fewer held-out samples, a 95% interval of an accuracy may be 30 points wide or more.
LEAST_SAMPLES = 50


@dataclass(frozen=True)
class ExitScores:
    """
    Scores of one exit on held-out samples.

    Args:
        agreement (`float`, *optional*):
            share of samples, or of their tokens, on which the exit agrees with the full model; for embeddings, the
            mean cosine with the full model's. `None` for the full model itself.
        accuracy (`float`, *optional*): share of samples on which the exit is right; `None` without labels.
        samples (`int`): number of held-out samples.
        certainty_error (`float`, *optional*): mean squared error of the exit's certainty, if it predicts one.
    """

    agreement: float | None
    accuracy: float | None
    samples: int
    certainty_error: float | None = None

    @property
    def value(self) -> float:
        """The score by which the best weights are chosen."""
        found = self.accuracy if self.accuracy is not None else self.agreement
        return 0.0 if found is None else found

    @property
    def accuracy_interval(self) -> Interval | None:
        """The 95% confidence interval of the accuracy; `None` without labels."""
        if self.accuracy is None:
            return None
        return proportion_interval(round(self.accuracy * self.samples), self.samples)


def score_line(name: str, scores: ExitScores) -> str:
    """The scores as one line of text."""
    parts = []
    if scores.accuracy is not None:
        parts.append(f"accuracy {scores.accuracy:.1%} ({interval_text(scores.accuracy_interval, '{:.1%}')})")
    if scores.agreement is not None:
        parts.append(f"agrees with the full model on {scores.agreement:.1%}")
    return f"{name}: {', '.join(parts)} ({scores.samples} held-out samples)"


def score_warnings(exits: Mapping[str, ExitScores], full: ExitScores, most_frequent: float | None) -> list[str]:
    """
    What is wrong with the scores or with the full model, as far as scores show it.

    Args:
        exits (`Mapping[str, ExitScores]`): by the name of the head.
        full ([`ExitScores`]): of the full model on the same samples.
        most_frequent (`float`, *optional*): share of these samples that have the most frequent label.

    Returns:
        `list[str]`: a sentence for each.
    """
    found = []
    if full.samples < LEAST_SAMPLES:
        found.append(
            f"only {full.samples} held-out samples: these figures may be far off. Give more data, or held-out samples"
            " with --eval-data (`eval_data`)"
        )
    interval = full.accuracy_interval
    if interval is None:
        return found
    majority = majority_warning(full.accuracy, full.samples, most_frequent)
    if majority is not None:
        # Such a model is no measure for its exits.
        return [*found, majority]
    intervals = {name: scores.accuracy_interval for name, scores in exits.items()}
    better = {
        name: exits[name].value for name, own in intervals.items() if own is not None and own.low > interval.high
    }
    if better:
        name = max(better, key=lambda key: better[key])
        found.append(
            f"{name} is right more often ({better[name]:.1%}, {interval_text(intervals[name], '{:.1%}')}) than the"
            f" full model, {full.accuracy:.1%} ({interval_text(interval, '{:.1%}')}): the model is trained too little"
            " for this data. Train it on, or use the model up to that exit as a model of its own"
        )
    return found
