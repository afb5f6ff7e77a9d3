"""Weight formats of heads, on the command line."""

from typing import Any


# Those of `heads.weight_formats`, which is not asked, as it loads OpenVINO.
HEAD_FORMATS = ("fp32", "int8", "int4")


def add_head_formats(group: Any) -> None:
    """Adds `--head-weight-format` and `--draft-weight-format` to a group of a parser."""
    group.add_argument(
        "--head-weight-format",
        choices=HEAD_FORMATS,
        default=None,
        help="Of the weights of heads. Default: as they are; of heads that are attached, int8 for decoders, fp32 for"
        " others.",
    )
    group.add_argument(
        "--draft-weight-format",
        choices=HEAD_FORMATS,
        default=None,
        help="Of the weights of the draft head. Default: as of all heads.",
    )
