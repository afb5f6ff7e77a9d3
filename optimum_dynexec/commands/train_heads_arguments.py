"""The arguments of `optimum-cli dynexec train-heads`, and their conversion for the training functions."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import Any

from .columns import add_column_arguments, read_columns
from .numbers import parse_layers, parse_layers_or_none


KINDS = ("norm", "adapter", "block")
RECIPES = ("frozen", "joint", "alternating")
# The recipes that train the model too, so that it is exported afterwards.
BACKBONE_RECIPES = ("joint", "alternating")


def add_training_arguments(parser: ArgumentParser) -> None:
    """Adds all arguments except those of every subcommand."""
    parser.add_argument(
        "model",
        metavar="MODEL_DIR_OR_ID",
        help="Directory of an exported model, or directory or Hub id of a transformers model, which is"
        " exported to --output first.",
    )
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="FILE[:COLUMN]",
        help="Training data. For a decoder, prompts: a .jsonl, .csv or .txt file, or the id of a data set on the Hub."
        " For others, FILE without a column, also a directory with a folder of images for each label, or an .npz"
        " file. Repeatable.",
    )
    parser.add_argument(
        "--task", default="auto", help="Task of a model not exported yet. Default: from its architecture."
    )
    parser.add_argument(
        "--output",
        default=None,
        metavar="DIR",
        help="Directory for the heads, which are then not attached to the model. If not set, they are stored in the"
        " model's folder `heads` and attached. If the model is not exported yet: directory of the export, to which"
        " the heads are attached. With a recipe that also trains the model: directory of the trained transformers"
        " model.",
    )
    group = parser.add_argument_group("Heads")
    group.add_argument(
        "--layers",
        type=parse_layers,
        default=[],
        metavar="LAYERS",
        help="Layers to train an exit head for, separated by commas. Layer 0 is the first. Default: none for a"
        " decoder, all but the last for others.",
    )
    group.add_argument(
        "--kind",
        choices=KINDS,
        default="block",
        help="Kind of the exit heads. norm: a norm before the model's unembedding. adapter: a norm and a low-rank"
        " adapter. block: a transformer block with its own KV cache. Default: %(default)s.",
    )
    group.add_argument("--rank", type=int, default=64, help="Rank of an adapter. Default: %(default)s.")
    group.add_argument(
        "--draft-head", action=BooleanOptionalAction, default=True, help="Train a draft head. Default: yes."
    )
    group.add_argument(
        "--draft-layers",
        type=parse_layers_or_none,
        default=None,
        metavar="LAYERS",
        help="Layers whose hidden states the draft head reads in addition to the last ones, or none. Default: those"
        " after a third and two thirds of the model; with --start-from, the layers of that head.",
    )
    group.add_argument(
        "--steps",
        type=int,
        default=4,
        help="Number of steps of its own draft that the draft head learns. Default: %(default)s.",
    )
    group.add_argument(
        "--vocab-size",
        type=int,
        default=8192,
        help="Number of tokens that a head can predict: the model's most frequent ones. 0: all. Default: %(default)s.",
    )
    group.add_argument(
        "--start-from",
        default=None,
        metavar="HEADS",
        help="For a decoder: heads whose training continues, a file or a directory, for example those of the model"
        " before quantization. Default: heads start from the model's own weights.",
    )
    group.add_argument(
        "--weight-format",
        choices=("fp32", "fp16", "int8"),
        default="fp16",
        help="Weight format of the files. Default: %(default)s.",
    )
    group = parser.add_argument_group("Heads of encoders and vision models")
    group.add_argument(
        "--recipe",
        choices=RECIPES,
        default="frozen",
        help="frozen: the model does not change, heads learn from its predictions (DeeBERT, FastBERT). joint: model"
        " and heads learn from a weighted sum of their losses (BranchyNet, MSDNet). alternating: in turns (BERxiT)."
        " Default: %(default)s.",
    )
    group.add_argument(
        "--pooling",
        choices=("mean", "cls"),
        default="mean",
        help="Input of a head: the mean of the tokens, or the first token. Default: %(default)s.",
    )
    group.add_argument(
        "--dense-size",
        type=int,
        default=None,
        help="Width of a layer before the output; 0: none. Default: the hidden size.",
    )
    group.add_argument(
        "--certainty",
        action=BooleanOptionalAction,
        default=False,
        help="Train heads to predict their certainty, for the criterion `learned` (BERxiT). Default: no.",
    )
    group.add_argument(
        "--label-weight",
        type=float,
        default=None,
        help="Share of labels in a head's loss, from 0 to 1; the rest is the full model's predictions. Default: 0.5,"
        " or 0 without labels, or 1 for the recipes joint and alternating.",
    )
    group.add_argument(
        "--exit-weights",
        choices=("uniform", "depth"),
        default="uniform",
        help="Weights of the exits in the recipes joint and alternating. Default: %(default)s.",
    )
    group.add_argument(
        "--trainable-layers",
        type=int,
        default=None,
        help="Number of last layers that these recipes train. Default: all.",
    )
    group.add_argument(
        "--batch-size", type=int, default=None, help="Samples per step. Default: 256, or 32 for these recipes."
    )
    group = parser.add_argument_group("Data")
    group.add_argument(
        "--continuations",
        choices=("own", "text"),
        default="own",
        help="own: learn from the model's answers. text: learn from the texts as they are. Default: %(default)s.",
    )
    group.add_argument("--max-samples", type=int, default=None, help="Maximum number of texts. Default: all.")
    group.add_argument(
        "--max-new-tokens", type=int, default=192, help="Maximum number of tokens in an answer. Default: %(default)s."
    )
    group.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        help="Temperature of sampled answers, which are 1 in 8; the others are greedy. Default: %(default)s.",
    )
    add_column_arguments(group)
    group.add_argument(
        "--eval-data",
        action="append",
        default=[],
        metavar="FILE",
        help="Held-out samples, not for decoders. Default: a tenth of the data.",
    )
    group = parser.add_argument_group("Training")
    group.add_argument(
        "--epochs",
        type=float,
        default=None,
        help="Number of passes over the data. Default: 7 for decoders, 30 for others, 3 with joint and alternating.",
    )
    group.add_argument(
        "--learning-rate",
        type=float,
        default=None,
        help="Peak learning rate. Default: 2e-3 for decoders, 1e-3 for others, 5e-5 with joint and alternating.",
    )
    group.add_argument("--device", default="cpu", help="torch device to train on. Default: %(default)s.")
    group.add_argument("--seed", type=int, default=0, help="Random seed. Default: %(default)s.")
    group.add_argument(
        "--cache-dir",
        default=None,
        help="Directory for answers, hidden states and checkpoints. It may be removed afterwards. Default: .cache"
        " next to the heads.",
    )
    group.add_argument(
        "--resume",
        action=BooleanOptionalAction,
        default=True,
        help="Resume where an interrupted call has stopped, or start again and keep nothing. Default: resume.",
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
    """The arguments that are not left at their default."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
