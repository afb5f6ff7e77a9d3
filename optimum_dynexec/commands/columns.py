"""Where in the rows of a data set things stand, on the command line."""

from argparse import Namespace
from typing import Any


def add_column_arguments(group: Any) -> None:
    """Adds the arguments to a group of a parser. They are for others than decoders."""
    group.add_argument("--text-column", default=None, help="Of the text or image. Default: text, sentence, image, ...")
    group.add_argument("--text-pair-column", default=None, help="Of a second text. Default: there is none.")
    group.add_argument("--label-column", default=None, help="Of the label. Default: label, category, ... if there.")
    group.add_argument(
        "--max-length", type=int, default=128, help="Of texts for encoders, in tokens. Default: %(default)s."
    )


def read_columns(arguments: Namespace) -> dict[str, Any]:
    """The fields of a [`~data.samples.Columns`]."""
    names = {"text": "text_column", "text_pair": "text_pair_column", "label": "label_column"}
    return {field: getattr(arguments, name) for field, name in names.items()}
