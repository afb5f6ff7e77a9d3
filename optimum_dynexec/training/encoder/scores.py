"""How good exits are on held-out samples."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExitScores:
    """
    How good one exit is on held-out samples.

    Args:
        agreement (`float`, *optional*): share of samples, or of their tokens, about which it says what the full model
            says; of embeddings, the mean cosine with the full model's. `None` for the full model itself.
        accuracy (`float`, *optional*): share of samples about which it is right; `None` without labels.
        samples (`int`): held out.
        certainty_error (`float`, *optional*): mean squared error of how certain it says it is, if it says so.
    """

    agreement: float | None
    accuracy: float | None
    samples: int
    certainty_error: float | None = None

    @property
    def value(self) -> float:
        """What the best weights are chosen by."""
        found = self.accuracy if self.accuracy is not None else self.agreement
        return 0.0 if found is None else found


def score_line(name: str, scores: ExitScores) -> str:
    """One line for people."""
    parts = []
    if scores.accuracy is not None:
        parts.append(f"accuracy {scores.accuracy:.1%}")
    if scores.agreement is not None:
        parts.append(f"agrees with the full model on {scores.agreement:.1%}")
    return f"{name}: {', '.join(parts)} ({scores.samples} held-out samples)"
