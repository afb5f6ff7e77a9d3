"""From the hidden states of a text to its embedding, as the files of sentence-transformers say."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ServeError


# For each mode of sentence-transformers' `Pooling`, what it makes of hidden states `[length, hidden_size]`.
POOLINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cls_token": lambda states: states[0],
    "lasttoken": lambda states: states[-1],
    "max_tokens": lambda states: states.max(0),
    "mean_tokens": lambda states: states.mean(0),
    "mean_sqrt_len_tokens": lambda states: states.sum(0) / np.sqrt(len(states)),
}
PREFIX = "pooling_mode_"


@dataclass(frozen=True)
class Pooling:
    """
    How embeddings are made. The default is that of most models: the mean over the tokens, with length 1.

    Args:
        modes (`tuple[str, ...]`): keys of [`POOLINGS`]. The results of several are joined.
        normalize (`bool`): whether embeddings have length 1.
    """

    modes: tuple[str, ...] = ("mean_tokens",)
    normalize: bool = True

    def __call__(self, states: np.ndarray, dimensions: int | None = None) -> np.ndarray:
        """
        Makes the embedding of a text.

        Args:
            states (`np.ndarray` of shape `(length, hidden_size)`): hidden states of its tokens, without padding.
            dimensions (`int`, *optional*): how many numbers to keep. What is cut has length 1 again.
        """
        made = np.concatenate([POOLINGS[mode](states.astype(np.float32)) for mode in self.modes])
        cut = dimensions is not None and dimensions < len(made)
        made = made[:dimensions]
        # A vector of zeros has no direction and stays as it is.
        return made / max(float(np.linalg.norm(made)), 1e-12) if self.normalize or cut else made


def read_pooling(directory: Path) -> Pooling:
    """
    Reads how a model makes embeddings.

    Args:
        directory (`Path`): directory of the model, with or without the `modules.json` of sentence-transformers.

    Raises:
        [`ServeError`]: if it has a module that is not supported, or a file that cannot be read.
    """
    if not (directory / "modules.json").is_file():
        return Pooling()
    modules = _read(directory / "modules.json")
    modes: tuple[str, ...] = ()
    normalize = False
    try:
        for module in modules:
            kind = module["type"].rpartition(".")[2]
            if kind == "Pooling":
                modes = _modes(_read(directory / module["path"] / "config.json"))
            elif kind == "Normalize":
                normalize = True
            elif kind != "Transformer":
                raise ServeError(
                    f"{directory / 'modules.json'} has the module {kind!r}; Transformer, Pooling and Normalize can be"
                    " served"
                )
    except (TypeError, KeyError, AttributeError) as error:
        raise ServeError(f"{directory / 'modules.json'} is no file of sentence-transformers: {error!r}") from None
    if not modes:
        raise ServeError(f"{directory / 'modules.json'} has no Pooling, without which a text has no embedding")
    return Pooling(modes, normalize)


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    asked = tuple(name.removeprefix(PREFIX) for name, on in config.items() if name.startswith(PREFIX) and on)
    unknown = sorted(set(asked) - set(POOLINGS))
    if unknown or not asked:
        raise ServeError(f"the pooling must have some of the modes {sorted(POOLINGS)}, got {list(asked)}")
    return asked


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ServeError(f"{path} cannot be read: {type(error).__name__}") from None
