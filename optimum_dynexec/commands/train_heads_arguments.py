"""The arguments of `optimum-cli dynexec train-heads`, and what they are to the functions that train."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import Any

from .columns import add_column_arguments, read_columns
from .numbers import parse_layers, parse_layers_or_none


KINDS = ("norm", "adapter", "block")
RECIPES = ("frozen", "joint", "alternating")
# Those that train the model too, so that it is exported afterwards.
BACKBONE_RECIPES = ("joint", "alternating")


def add_training_arguments(parser: ArgumentParser) -> None:
    """Adds all arguments but those that every subcommand has."""
    parser.add_argument(
        "model",
        metavar="MODEL_DIR_OR_ID",
        help="Directory of an exported model. Else a transformers model, a directory or an id on the Hub: it is"
        " exported to --output first.",
    )
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="FILE[:COLUMN]",
        help="Of a decoder, prompts: a .jsonl, .csv or .txt file, or the id of a data set on the Hub. Of others,"
        " FILE without a column: also a directory with a folder of images for each label, or an .npz file."
        " Repeatable.",
    )
    parser.add_argument("--task", default="auto", help="Of a model not exported yet. Default: by its architecture.")
    parser.add_argument(
        "--output",
        default=None,
        metavar="DIR",
        help="Directory for the heads, which are then not attached to the model. Unset, they are put into its"
        " folder `heads` and attached. If the model is not exported yet: the directory of the export, which they"
        " are attached to. With a recipe that trains the model too: directory of the trained transformers model.",
    )
    group = parser.add_argument_group("Heads")
    group.add_argument(
        "--layers",
        type=parse_layers,
        default=[],
        metavar="LAYERS",
        help="Layers to train an exit head for, separated by commas. Layer 0 is the first. Default: none of a"
        " decoder, all but the last of others.",
    )
    group.add_argument(
        "--kind",
        choices=KINDS,
        default="block",
        help="Of the exit heads. norm: only a norm before the model's unembedding. adapter: and a low-rank one."
        " block: a transformer block with a KV cache of its own. Default: %(default)s.",
    )
    group.add_argument("--rank", type=int, default=64, help="Of the kind adapter. Default: %(default)s.")
    group.add_argument(
        "--draft-head", action=BooleanOptionalAction, default=True, help="Train a draft head. Default: yes."
    )
    group.add_argument(
        "--draft-layers",
        type=parse_layers_or_none,
        default=None,
        metavar="LAYERS",
        help="Layers whose hidden states the draft head reads beside the last ones, or none. Default: those after a"
        " third and two thirds of the model (of --start-from, what the head there reads).",
    )
    group.add_argument(
        "--steps",
        type=int,
        default=4,
        help="Steps of its own draft that the draft head learns. Default: %(default)s.",
    )
    group.add_argument(
        "--vocab-size",
        type=int,
        default=8192,
        help="Words of the heads: the model's most frequent tokens. 0: all. Default: %(default)s.",
    )
    group.add_argument(
        "--start-from",
        default=None,
        metavar="HEADS",
        help="Of a decoder: heads to go on with, a file or a directory; those of the model before it was quantized,"
        " say. Default: the model's own weights.",
    )
    group.add_argument(
        "--weight-format",
        choices=("fp32", "fp16", "int8"),
        default="fp16",
        help="Of the heads' files. Default: %(default)s.",
    )
    group = parser.add_argument_group("Heads of encoders and vision models")
    group.add_argument(
        "--recipe",
        choices=RECIPES,
        default="frozen",
        help="frozen: the model stays as it is, heads learn from what it says (DeeBERT, FastBERT). joint: model"
        " and heads learn by a weighted sum of their losses (BranchyNet, MSDNet). alternating: in turns (BERxiT)."
        " Default: %(default)s.",
    )
    group.add_argument(
        "--pooling",
        choices=("mean", "cls"),
        default="mean",
        help="What a head reads: the mean of the tokens, or the first. Default: %(default)s.",
    )
    group.add_argument(
        "--dense-size", type=int, default=None, help="Of a layer before the output; 0: none. Default: hidden size."
    )
    group.add_argument(
        "--certainty",
        action=BooleanOptionalAction,
        default=False,
        help="Let heads learn how certain they are, for the criterion `learned` (BERxiT). Default: no.",
    )
    group.add_argument(
        "--label-weight",
        type=float,
        default=None,
        help="Share of labels in a head's loss, from 0 to 1; the rest is what the full model says. Default: 0.5,"
        " or 0 without labels, or 1 for the recipes joint and alternating.",
    )
    group.add_argument(
        "--exit-weights",
        choices=("uniform", "depth"),
        default="uniform",
        help="Of the exits in the recipes joint and alternating. Default: %(default)s.",
    )
    group.add_argument(
        "--trainable-layers",
        type=int,
        default=None,
        help="How many of the last layers those recipes train. Default: all.",
    )
    group.add_argument("--batch-size", type=int, default=None, help="Samples a step. Default: 256, or 32 for them.")
    group = parser.add_argument_group("Data")
    group.add_argument(
        "--continuations",
        choices=("own", "text"),
        default="own",
        help="own: learn from the model's answers. text: from the texts as they stand. Default: %(default)s.",
    )
    group.add_argument("--max-samples", type=int, default=None, help="Texts to use at most. Default: all.")
    group.add_argument(
        "--max-new-tokens", type=int, default=192, help="Length of an answer at most. Default: %(default)s."
    )
    group.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        help="Of the answers that are sampled, 1 in 8; the others are greedy. Default: %(default)s.",
    )
    add_column_arguments(group)
    group.add_argument(
        "--eval-data",
        action="append",
        default=[],
        metavar="FILE",
        help="Of others than decoders: samples to hold out. Default: a tenth of the data.",
    )
    group = parser.add_argument_group("Training")
    group.add_argument(
        "--epochs",
        type=float,
        default=None,
        help="Passes over the data. Default: 7 of decoders, 30 of others, 3 with joint and alternating.",
    )
    group.add_argument(
        "--learning-rate",
        type=float,
        default=None,
        help="At its peak. Default: 2e-3 of decoders, 1e-3 of others, 5e-5 with joint and alternating.",
    )
    group.add_argument("--device", default="cpu", help="torch device to train on. Default: %(default)s.")
    group.add_argument("--seed", type=int, default=0, help="Of all that is drawn. Default: %(default)s.")
    group.add_argument(
        "--cache-dir",
        default=None,
        help="For answers, hidden states and checkpoints; may be removed afterwards. Default: .cache beside them.",
    )
    group.add_argument(
        "--resume",
        action=BooleanOptionalAction,
        default=True,
        help="Go on where an interrupted call has stopped, or begin anew and keep nothing. Default: go on.",
    )


def read_options(arguments: Namespace) -> dict[str, Any]:
    """
    The command line as arguments of [`~training.decoder.train.train_heads`], the grouped ones as dictionaries.
    """
    heads = ("layers", "kind", "draft_head", "draft_layers", "vocab_size", "rank", "start_from", "weight_format")
    return {
        **{name: getattr(arguments, name) for name in (*heads, "data", "continuations", "max_samples", "cache_dir")},
        "continuation_arguments": {
            "max_new_tokens": arguments.max_new_tokens,
            "temperature": arguments.temperature,
            "seed": arguments.seed,
        },
        "training_arguments": {
            **_given(arguments, ("epochs", "learning_rate")),
            "draft_steps": arguments.steps,
            "device": arguments.device,
            "seed": arguments.seed,
        },
    }


def read_encoder_options(arguments: Namespace) -> dict[str, Any]:
    """
    The command line as arguments of [`~training.encoder.train_encoder_heads`], the grouped ones as dictionaries.
    """
    names = ("data", "eval_data", "max_length", "max_samples", "weight_format", "cache_dir")
    trained = ("recipe", "epochs", "learning_rate", "batch_size", "label_weight", "exit_weights", "trainable_layers")
    return {
        **{name: getattr(arguments, name) for name in names},
        "layers": arguments.layers or None,
        "columns": read_columns(arguments),
        "head": {name: getattr(arguments, name) for name in ("pooling", "dense_size", "certainty")},
        "training_arguments": {name: getattr(arguments, name) for name in (*trained, "device", "seed")},
    }


def _given(arguments: Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Those that are not left to their default."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
