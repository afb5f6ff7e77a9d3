"""From an encoder and data to trained exit heads."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ...data.batches import hold_out
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
    Trains exit heads of an encoder or vision model. What an interrupted call has done, it does not do again.

    Args:
        model (`str` or `Path`):
            For the recipe `"frozen"` the directory of an export (`optimum-cli export dynexec`), which stays as it is.
            For the others a transformers model, fine-tuned or a bare encoder: a directory or an id on the Hub.
        output (`str` or `Path`):
            Directory for the heads, one safetensors file each with a training card in its metadata. With the recipes
            that train the backbone: directory of the trained transformers model, with the heads in its folder `heads`.
        task (`str`): of the model.
        data (`Sequence[str or Path]`): as [`~data.samples.read_samples`] takes it.
        eval_data (`Sequence[str or Path]`, *optional*): to hold out. Unset: a part of `data`, drawn at random.
        columns ([`Columns`], *optional*): where in a row things stand.
        layers (`list[int]`, *optional*): to train a head for; 0 is the first. Unset: all but the last.
        head ([`HeadOptions`], *optional*): what the heads are like.
        training_arguments ([`EncoderTrainingArguments`], *optional*): how they are trained.
        max_length (`int`, *optional*, defaults to 128): of texts, in tokens; what is longer is cut off.
        max_samples (`int`, *optional*): samples to use, at most, drawn from all.
        weight_format (`str`, *optional*, defaults to `"fp32"`): of the heads' files: `"fp32"`, `"fp16"` or `"int8"`.
        cache_dir (`str` or `Path`, *optional*, defaults to `output/.cache`): may be removed afterwards.
        progress (`bool`, *optional*, defaults to `True`): show progress bars.

    Raises:
        `ValueError`: for arguments or data that are not accepted, or a model that heads cannot be trained for.
    """
    args = training_arguments or EncoderTrainingArguments()
    samples = draw(read_samples(data, columns), max_samples, args.seed)
    if eval_data:
        training, held_out = samples, read_samples(eval_data, columns, split="validation")
    else:
        chosen, rest = hold_out(len(samples), args.eval_ratio, args.seed)
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
        },
        progress=progress,
    )
    return RECIPES[args.recipe](request)


__all__ = ["RECIPES", "TrainedExit", "TrainedExits", "train_encoder_heads"]
