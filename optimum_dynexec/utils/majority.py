"""Compares a classifier with always answering the most frequent label."""

from .intervals import interval_text, proportion_interval


def majority_warning(accuracy: float | None, samples: int, most_frequent: float | None) -> str | None:
    """
    Says if an accuracy is not shown to be above that of always answering the most frequent label.

    Args:
        accuracy (`float`, *optional*): accuracy of the full model; `None` without labels.
        samples (`int`): number of samples on which it was measured.
        most_frequent (`float`, *optional*): share of these samples that have the most frequent label.

    Returns:
        `str` or `None`: a sentence; `None` if the model is better, or there are no labels.
    """
    if accuracy is None or most_frequent is None:
        return None
    interval = proportion_interval(round(accuracy * samples), samples)
    if interval.low > most_frequent:
        return None
    return (
        f"the full model's accuracy, {accuracy:.1%} ({interval_text(interval, '{:.1%}')}), is not shown to be above"
        f" that of always answering the most frequent label, {most_frequent:.1%}: the model may not be trained for"
        " these labels"
    )
