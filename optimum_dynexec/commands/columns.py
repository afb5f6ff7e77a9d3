"""Options that name the columns of a data set."""

from argparse import Namespace, _ArgumentGroup
from typing import Any


def add_column_arguments(group: _ArgumentGroup) -> None:
    """Adds the arguments to a group of a parser. They are not for decoders."""
    group.add_argument(
        "--text-column", default=None, help="Column of the text or image. Default: text, sentence, image, ..."
    )
    group.add_argument("--text-pair-column", default=None, help="Column of a second text. Default: none.")
    group.add_argument(
        "--label-column", default=None, help="Column of the label. Default: label, category, ..., if any."
    )
    group.add_argument(
        "--max-length",
        type=int,
        default=128,
        help="Maximum number of tokens in a text, for encoders. Default: %(default)s.",
    )


def read_columns(arguments: Namespace) -> dict[str, Any]:
    """The fields of a [`~data.samples.Columns`]."""
    names = {"text": "text_column", "text_pair": "text_pair_column", "label": "label_column"}
    return {field: getattr(arguments, name) for field, name in names.items()}
