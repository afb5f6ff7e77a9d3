"""The request to a recipe and its result."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...data.samples import Samples
from .arguments import EncoderTrainingArguments
from .scores import ExitScores, score_warnings
from .shape import HeadOptions


@dataclass(frozen=True)
class TrainedExit:
    """
    Result of training one exit head.

    Args:
        name (`str`): name of the head and its file.
        layer (`int`): layer whose hidden states the head reads.
        path (`Path`): safetensors file of the head.
        scores ([`ExitScores`]): scores on held-out samples.
        parameters (`int`): number of trained parameters.
    """

    name: str
    layer: int
    path: Path
    scores: ExitScores
    parameters: int


@dataclass(frozen=True)
class TrainedExits:
    """
    Result of a recipe.

    Args:
        exits (`list[TrainedExit]`): results of the heads, in order of depth.
        full (`ExitScores`): scores of the full model on the same samples.
        checkpoint (`Path`, *optional*): directory of the backbone, if it was trained too. It is not exported yet.
        seconds (`float`): duration of the training, without that of making its data.
        most_frequent (`float`, *optional*): share of the held-out samples that have the most frequent label; `None`
            without labels.
    """

    exits: list[TrainedExit]
    full: ExitScores
    checkpoint: Path | None = None
    seconds: float = 0.0
    most_frequent: float | None = None

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the full model, as far as the scores show it; a sentence for each."""
        return score_warnings({head.name: head.scores for head in self.exits}, self.full, self.most_frequent)


@dataclass(frozen=True)
class Request:
    """
    Request to a recipe.

    Args:
        model (`str` or `Path`): export for the recipe `"frozen"`, or transformers model for the others.
        output (`Path`): directory for the result.
        task (`str`): task of the model.
        training ([`~data.samples.Samples`]): training samples.
        held_out ([`~data.samples.Samples`]): samples for the evaluation.
        layers (`list[int]`, *optional*): layers to train a head for; all but the last by default.
        head ([`HeadOptions`]): shape of the heads.
        args ([`EncoderTrainingArguments`]): settings for the training.
        max_length (`int`): maximum number of tokens in a text.
        cache (`Path`): directory for hidden states and checkpoints.
        weight_format (`str`): weight format of the files.
        card (`dict[str, Any]`): facts about the training for the card.
        progress (`bool`): whether to show progress bars.
    """

    model: str | Path
    output: Path
    task: str
    training: Samples
    held_out: Samples
    layers: list[int] | None
    head: HeadOptions
    args: EncoderTrainingArguments
    max_length: int
    cache: Path
    weight_format: str = "fp32"
    card: dict[str, Any] = field(default_factory=dict)
    progress: bool = True

    def full_card(self, scores: ExitScores, full: ExitScores, **more: Any) -> dict[str, Any]:
        """The training card of a head."""
        arguments = asdict(self.args)
        return {
            **self.card,
            "recipe": self.args.recipe,
            "training_arguments": arguments,
            "max_length": self.max_length,
            "samples": len(self.training),
            "agreement": asdict(scores),
            "full_model": asdict(full),
            **more,
        }

    def chosen_layers(self, num_layers: int) -> list[int]:
        """
        The layers to train a head for, ascending.

        Raises:
            `ValueError`: if the model cannot have an exit after one of them.
        """
        if num_layers < 2:
            raise ValueError(
                f"the model has {num_layers} layer(s), so it cannot have an exit: exits need at least 2 layers"
            )
        if self.layers is None:
            return list(range(num_layers - 1))
        wrong = [layer for layer in self.layers if not 0 <= layer < num_layers - 1]
        if wrong or not self.layers:
            raise ValueError(
                f"`layers` must be from 0 to {num_layers - 2}, but the list contains {wrong[0] if wrong else 'none'}"
            )
        return sorted(set(self.layers))
