"""What calibration knows of a model: for some texts, what each exit and the full model say at each position."""

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


@dataclass(frozen=True)
class ExitRecords:
    """
    What exits and the full model say about `samples` positions in `groups` texts, in order of the texts.

    Texts (prompts) are what is drawn independently; positions within one depend on each other. A classifier's inputs
    are texts of one sample each; of token classification a sample is a token, of question answering one is where the
    answer starts and one where it ends.

    Args:
        layers (`tuple[int, ...]`): the layers of the exits, ascending.
        num_layers (`int`): layers of the full model.
        statistics ([`~early_exit.ExitStatistics`] `[samples, exits]`): what the heads say.
        full_prediction (`np.ndarray` int64 `[samples]`): what the full model says.
        group_sizes (`np.ndarray` int64 `[groups]`): number of samples of each text, at least 1.
        labels (`np.ndarray` int64 `[samples]`, *optional*): what is right.
        model_hash (`str`, *optional*): identity of the model, as [`~directory.hashes.hash_model`] gives it.
        head_hashes (`Mapping[int, str]`, *optional*): identity of the head at each exit.
        source (`Mapping[str, Any]`, *optional*): where the texts come from, as plain values.
        together (`bool`, *optional*, defaults to `False`):
            Whether the samples of a text leave at the same exit, the first that all of them may leave at.

    Raises:
        `ValueError`: if the shapes do not fit each other, or there are no samples.
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
            raise ValueError(f"records need at least one sample and one exit, but have {samples} and {exits}")
        if len(self.layers) != exits or list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"`layers` must be the {exits} layers of the exits, ascending, got {list(self.layers)}")
        if not 0 <= self.layers[0] <= self.layers[-1] < self.num_layers:
            raise ValueError(f"`layers` must be from 0 to {self.num_layers - 1}, got {list(self.layers)}")
        for name in ("full_prediction", "labels"):
            values = getattr(self, name)
            if values is not None and values.shape != (samples,):
                raise ValueError(f"`{name}` must have the shape {(samples,)}, got {values.shape}")
        sizes = self.group_sizes
        if sizes.ndim != 1 or (sizes < 1).any() or sizes.sum() != samples:
            raise ValueError(f"`group_sizes` must be whole numbers from 1 that sum up to {samples}")

    @property
    def num_samples(self) -> int:
        """Number of positions over all texts."""
        return self.statistics.shape[0]

    @property
    def num_groups(self) -> int:
        """Number of texts, which is the size of the data set statistically."""
        return len(self.group_sizes)

    @property
    def predictions(self) -> np.ndarray:
        """int64 `[samples, exits + 1]`: the full model's last."""
        return np.column_stack([self.statistics.prediction, self.full_prediction])

    @property
    def data_hash(self) -> str:
        """`sha256:` and 64 hexadecimal digits over all that was recorded."""
        digest = hashlib.sha256(json.dumps([list(self.layers), self.num_layers]).encode())
        for name, values in sorted(self._tensors().items()):
            digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
            digest.update(values.tobytes())
        return f"sha256:{digest.hexdigest()}"

    def select(self, groups: np.ndarray) -> "ExitRecords":
        """
        Some of the texts, in the order given.

        Args:
            groups (`np.ndarray` int64 `[chosen]`): their indices.
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
        Parts the texts at random.

        Args:
            share (`float`): of the texts in the first part, between 0 and 1; each part has at least one.
            seed (`int`, *optional*, defaults to 0): the same seed parts them the same way.

        Raises:
            `ValueError`: if there is only one text.
        """
        if self.num_groups < 2:
            raise ValueError("records of one text cannot be parted")
        order = np.random.default_rng(seed).permutation(self.num_groups)
        first = min(max(round(share * self.num_groups), 1), self.num_groups - 1)
        return self.select(order[:first]), self.select(order[first:])

    def group_means(self, values: np.ndarray) -> np.ndarray:
        """
        The mean of each text.

        Args:
            values (`np.ndarray` float `[samples]`): a number for each sample.

        Returns:
            `np.ndarray` float64 `[groups]`.
        """
        starts = np.cumsum(self.group_sizes) - self.group_sizes
        return np.add.reduceat(np.asarray(values, np.float64), starts) / self.group_sizes

    def scores(self, criterion: Criterion) -> np.ndarray:
        """
        What decides where samples leave, float `[samples, exits]`: the score of each; where those of a text leave
        together, of all of them that of the least sure, and NaN if one of them cannot leave.
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
        Writes the records as one safetensors file, whole or not at all.

        Args:
            path (`str` or `Path`): file to write; its directory is made if absent.
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
            `ValueError`: if the file holds no records, or not those it says it holds; the message names the file.
        """
        try:
            with safe_open(str(path), framework="np") as file:
                config: Any = json.loads((file.metadata() or {})["records"])
                if config["format_version"] != FORMAT_VERSION:
                    raise ValueError(f"its format is {config['format_version']}, this version reads {FORMAT_VERSION}")
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
                raise ValueError("its content is not what was written")
        except (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} does not hold exit records: {error!r}") from error
        return records
