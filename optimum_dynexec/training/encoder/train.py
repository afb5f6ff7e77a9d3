"""Trains the exit heads of an encoder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ...data.batches import hold_out
from ...data.overlap import sketch
from ...data.samples import Columns, draw, read_samples
from .arguments import EncoderTrainingArguments
from .backbone_recipes import train_with_backbone
from .frozen import train_frozen
from .request import Request, TrainedExit, TrainedExits
from .shape import HeadOptions


Recipe = Callable[[Request], TrainedExits]
RECIPES: dict[str, Recipe] = {
    "frozen": train_frozen,
    "joint": train_with_backbone,
    "alternating": train_with_backbone,
}


def train_encoder_heads(
    model: str | Path,
    output: str | Path,
    *,
    task: str,
    data: Sequence[str | Path],
    eval_data: Sequence[str | Path] = (),
    columns: Columns | None = None,
    layers: list[int] | None = None,
    head: HeadOptions | None = None,
    training_arguments: EncoderTrainingArguments | None = None,
    max_length: int = 128,
    max_samples: int | None = None,
    weight_format: str = "fp32",
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> TrainedExits:
    """
    Trains exit heads of an encoder, vision or audio model. A call that was interrupted resumes where it stopped.

    Args:
        model (`str` or `Path`):
            For the recipe `"frozen"`: directory of an export (`optimum-cli export dynexec`), which does not change.
            For the others: directory or Hub id of a transformers model, with or without a classifier.
        output (`str` or `Path`):
            Directory for the heads: a safetensors file for each, with a training card in its metadata. With the
            recipes that train the backbone: directory of the trained transformers model, with the heads in its folder
            `heads`.
        task (`str`): task of the model.
        data (`Sequence[str or Path]`): training samples, as accepted by [`~data.samples.read_samples`].
        eval_data (`Sequence[str or Path]`, *optional*):
            held-out samples. If not set: a part of `data`, drawn at random.
        columns ([`Columns`], *optional*): columns of a row.
        layers (`list[int]`, *optional*):
            layers to train a head for; 0 is the first layer. If not set: all but the last.
        head ([`HeadOptions`], *optional*): shape of the heads.
        training_arguments ([`EncoderTrainingArguments`], *optional*): settings for the training.
        max_length (`int`, *optional*, defaults to 128):
            maximum number of tokens in a text; longer texts are truncated.
        max_samples (`int`, *optional*): maximum number of samples, which are drawn at random.
        weight_format (`str`, *optional*, defaults to `"fp32"`):
            weight format of the files: `"fp32"`, `"fp16"` or `"int8"`.
        cache_dir (`str` or `Path`, *optional*, defaults to `output/.cache`):
            directory for hidden states and checkpoints. It may be removed afterwards.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Raises:
        `ValueError`: if an argument or the data is not accepted, or heads cannot be trained for the model.
    """
    args = training_arguments or EncoderTrainingArguments()
    samples = draw(read_samples(data, columns), max_samples, args.seed)
    if eval_data:
        training, held_out = samples, read_samples(eval_data, columns, split="validation")
    else:
        chosen, rest = hold_out(len(samples), args.eval_ratio, args.seed, samples.labels)
        training, held_out = samples.select(chosen), samples.select(rest)
    output = Path(output)
    request = Request(
        model=model,
        output=output,
        task=task,
        training=training,
        held_out=held_out,
        layers=layers,
        head=head or HeadOptions(),
        args=args,
        max_length=max_length,
        cache=Path(cache_dir) if cache_dir is not None else output / ".cache",
        weight_format=weight_format,
        card={
            "data": [str(source) for source in data],
            "eval_data": [str(source) for source in eval_data],
            "columns": asdict(columns or Columns()),
            "data_hash": training.data_hash,
            "training_texts": sketch(samples.hashes),
        },
        progress=progress,
    )
    return RECIPES[args.recipe](request)


__all__ = ["RECIPES", "TrainedExit", "TrainedExits", "train_encoder_heads"]
