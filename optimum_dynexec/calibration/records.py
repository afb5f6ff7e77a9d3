"""Exit records, the data of a calibration: the predictions of each exit and the full model for some texts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..early_exit.criteria import Criterion
from ..early_exit.statistics import ExitStatistics
from ..utils.atomic import write_atomically


FORMAT_VERSION = 1
STATISTICS = tuple(f.name for f in fields(ExitStatistics))


def tuning_count(count: int, share: float) -> int:
    """How many of `count` texts are in the first part of a split."""
    return min(max(round(share * count), 1), count - 1)


@dataclass(frozen=True)
class ExitRecords:
    """
    The predictions of the exits and the full model for `samples` positions in `groups` texts, in order of the texts.

    Texts (prompts) are drawn independently; positions within a text depend on each other. A classifier's inputs
    are texts of one sample each. In token classification, a sample is a token. In question answering, one sample is
    the start of the answer and one is its end.

    Args:
        layers (`tuple[int, ...]`): exit layers, ascending.
        num_layers (`int`): number of layers of the full model.
        statistics ([`~early_exit.ExitStatistics`] `[samples, exits]`): statistics of the exit heads.
        full_prediction (`np.ndarray` int64 `[samples]`): predictions of the full model.
        group_sizes (`np.ndarray` int64 `[groups]`): number of samples of each text, at least 1.
        labels (`np.ndarray` int64 `[samples]`, *optional*): correct labels.
        model_hash (`str`, *optional*): hash of the model from [`~directory.hashes.hash_model`].
        head_hashes (`Mapping[int, str]`, *optional*): hash of the head at each exit.
        source (`Mapping[str, Any]`, *optional*): origin of the texts, as plain values.
        together (`bool`, *optional*, defaults to `False`):
            Whether all samples of a text leave at the same exit: the first one at which all of them may leave.

    Raises:
        `ValueError`: if the shapes do not match, or there are no samples.
    """

    layers: tuple[int, ...]
    num_layers: int
    statistics: ExitStatistics
    full_prediction: np.ndarray
    group_sizes: np.ndarray
    labels: np.ndarray | None = None
    model_hash: str | None = None
    head_hashes: Mapping[int, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    together: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(int(layer) for layer in self.layers))
        samples, exits = self.statistics.shape
        if not samples or not exits:
            raise ValueError(f"records need at least one sample and one exit, but they have {samples} and {exits}")
        if len(self.layers) != exits or list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"`layers` must be the {exits} exit layers, ascending, but they are {list(self.layers)}")
        if not 0 <= self.layers[0] <= self.layers[-1] < self.num_layers:
            raise ValueError(f"`layers` must be from 0 to {self.num_layers - 1}, but they are {list(self.layers)}")
        for name in ("full_prediction", "labels"):
            values = getattr(self, name)
            if values is not None and values.shape != (samples,):
                raise ValueError(f"`{name}` must have the shape {(samples,)}, but it has {values.shape}")
        sizes = self.group_sizes
        if sizes.ndim != 1 or (sizes < 1).any() or sizes.sum() != samples:
            raise ValueError(f"`group_sizes` must be whole numbers of 1 or more with the sum {samples}")

    @property
    def num_samples(self) -> int:
        """Number of positions in all texts."""
        return self.statistics.shape[0]

    @property
    def num_groups(self) -> int:
        """Number of texts, which is the sample size of the calibration."""
        return len(self.group_sizes)

    @property
    def unit(self) -> str:
        """What the texts are called in messages: `"samples"` for a classifier's inputs, `"texts"` otherwise."""
        return "samples" if self.together or (self.group_sizes == 1).all() else "texts"

    @property
    def predictions(self) -> np.ndarray:
        """The predictions, int64 `[samples, exits + 1]`. The last column is the full model."""
        return np.column_stack([self.statistics.prediction, self.full_prediction])

    @property
    def data_hash(self) -> str:
        """A hash of all recorded data: `sha256:` and 64 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps([list(self.layers), self.num_layers]).encode())
        for name, values in sorted(self._tensors().items()):
            digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
            digest.update(values.tobytes())
        return f"sha256:{digest.hexdigest()}"

    def select(self, groups: np.ndarray) -> "ExitRecords":
        """
        The records of some texts, in the given order.

        Args:
            groups (`np.ndarray` int64 `[chosen]`): indices of the texts.
        """
        sizes = self.group_sizes[groups]
        shift = (np.cumsum(self.group_sizes) - self.group_sizes)[groups] - (np.cumsum(sizes) - sizes)
        samples = np.arange(sizes.sum()) + np.repeat(shift, sizes)
        return replace(
            self,
            statistics=self.statistics[samples],
            full_prediction=self.full_prediction[samples],
            group_sizes=sizes,
            labels=None if self.labels is None else self.labels[samples],
        )

    def split(self, share: float, seed: int = 0) -> tuple["ExitRecords", "ExitRecords"]:
        """
        Splits the texts at random.

        Args:
            share (`float`): share of the texts in the first part, between 0 and 1. Each part has at least one text.
            seed (`int`, *optional*, defaults to 0): random seed of the split.

        Raises:
            `ValueError`: if there is only one text.
        """
        if self.num_groups < 2:
            raise ValueError("records of 1 text cannot be split: record at least 2 texts")
        order = np.random.default_rng(seed).permutation(self.num_groups)
        first = tuning_count(self.num_groups, share)
        return self.select(order[:first]), self.select(order[first:])

    def group_means(self, values: np.ndarray) -> np.ndarray:
        """
        The mean of each text.

        Args:
            values (`np.ndarray` float `[samples]`): number for each sample.

        Returns:
            `np.ndarray` float64 `[groups]`.
        """
        starts = np.cumsum(self.group_sizes) - self.group_sizes
        return np.add.reduceat(np.asarray(values, np.float64), starts) / self.group_sizes

    def scores(self, criterion: Criterion) -> np.ndarray:
        """
        The scores that decide where samples leave, float `[samples, exits]`. If the samples of a text leave
        together, all have the score of the least confident one, or NaN if one of them cannot leave.
        """
        scores = criterion.scores(self.statistics)
        if not self.together:
            return scores
        least = np.minimum if criterion.higher_is_surer else np.maximum
        starts = np.cumsum(self.group_sizes) - self.group_sizes
        return np.repeat(least.reduceat(scores, starts, axis=0), self.group_sizes, axis=0)

    def _tensors(self) -> dict[str, np.ndarray]:
        tensors = {name: np.ascontiguousarray(values) for name, values in self.statistics.arrays().items()}
        tensors["full_prediction"] = np.ascontiguousarray(self.full_prediction, np.int64)
        tensors["group_sizes"] = np.ascontiguousarray(self.group_sizes, np.int64)
        if self.labels is not None:
            tensors["labels"] = np.ascontiguousarray(self.labels, np.int64)
        return tensors

    def save(self, path: str | Path) -> None:
        """
        Writes the records to one safetensors file, completely or not at all.

        Args:
            path (`str` or `Path`): file to write. Its directory is created if it does not exist.
        """
        config = {
            "format_version": FORMAT_VERSION,
            "layers": self.layers,
            "num_layers": self.num_layers,
            "model_hash": self.model_hash,
            "head_hashes": {str(layer): value for layer, value in self.head_hashes.items()},
            "source": dict(self.source),
            "data_hash": self.data_hash,
            "together": self.together,
        }
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), save(self._tensors(), metadata={"records": json.dumps(config)}))

    @classmethod
    def load(cls, path: str | Path) -> "ExitRecords":
        """
        Reads what [`~ExitRecords.save`] wrote.

        Raises:
            `ValueError`: if the file does not contain records, or its content is damaged. The message names the file.
        """
        try:
            with safe_open(str(path), framework="np") as file:
                config: Any = json.loads((file.metadata() or {})["records"])
                if config["format_version"] != FORMAT_VERSION:
                    raise ValueError(
                        f"its format is {config['format_version']}, but this version of the library reads"
                        f" {FORMAT_VERSION}"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            records = cls(
                layers=tuple(config["layers"]),
                num_layers=config["num_layers"],
                statistics=ExitStatistics(**{name: tensors[name] for name in STATISTICS if name in tensors}),
                full_prediction=tensors["full_prediction"],
                group_sizes=tensors["group_sizes"],
                labels=tensors.get("labels"),
                model_hash=config["model_hash"],
                head_hashes={int(layer): value for layer, value in config["head_hashes"].items()},
                source=config["source"],
                together=config.get("together", False),
            )
            if records.data_hash != config["data_hash"]:
                raise ValueError("its content has changed since it was written")
        except (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} does not contain exit records: {error!r}") from error
        return records
