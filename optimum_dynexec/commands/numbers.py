"""Arguments that are lists of whole numbers. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def whole_numbers(of: str, example: str) -> Callable[[str], list[int]]:
    """
    Makes the `type` of an argument that takes whole numbers separated by commas.

    Args:
        of (`str`): name of the numbers, for the error message.
        example (`str`): example of a list, for the error message.
    """

    def parse(text: str) -> list[int]:
        try:
            return [int(part) for part in text.split(",")]
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a list of {of} such as {example}") from None

    return parse


parse_layers = whole_numbers("layers", "9,19")


def parse_layers_or_none(text: str) -> list[int]:
    """Layers separated by commas, or `none`."""
    return [] if text == "none" else parse_layers(text)


parse_steps = whole_numbers("step counts", "10,20,50")
parse_batch_sizes = whole_numbers("batch sizes", "1,8,32")
parse_threads = whole_numbers("thread counts", "1,2,4")
