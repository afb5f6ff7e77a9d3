"""Options for the weight formats of heads."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from argparse import _ArgumentGroup


# The formats of `heads.weight_formats`, which is not imported because it loads OpenVINO.
HEAD_FORMATS = ("fp32", "int8", "int4")


def add_head_formats(group: "_ArgumentGroup") -> None:
    """Adds `--head-weight-format` and `--draft-weight-format` to a group of a parser."""
    group.add_argument(
        "--head-weight-format",
        choices=HEAD_FORMATS,
        default=None,
        help="Weight format of the heads. Default: unchanged; when heads are attached, int8 for decoders and fp32 for"
        " others.",
    )
    group.add_argument(
        "--draft-weight-format",
        choices=HEAD_FORMATS,
        default=None,
        help="Weight format of the draft head. Default: that of all heads.",
    )
