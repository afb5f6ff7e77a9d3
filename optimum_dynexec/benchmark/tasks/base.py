"""What a task has to say to be measured."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..arguments import BenchmarkArguments
from ..records import Records
from ..systems import System


@dataclass(frozen=True)
class Column:
    """
    A figure of a system, for tables.

    Args:
        key (`str`): where it stands among the figures.
        title (`str`): over its column.
        format (`str`): of `str.format`.
        help (`str`): what it is, in a sentence.
        interval (`str`, *optional*): where its 95% interval stands.
    """

    key: str
    title: str
    format: str
    help: str
    interval: str = ""


@dataclass(frozen=True)
class Texts:
    """
    What reports call a task's figures.

    Args:
        speed (`str`): the unit of `speed`.
        request (`str`): what one run is.
        loss (`str`): what `loss` is.
        loss_missing (`str`): why there is no loss, and how to get it.
        histogram (`str`): title of the histogram.
        histogram_axis (`str`): what its bars stand for.
        dynamic (`str`): what dynamic execution is here.
        gain (`str`, *optional*): what `loss` is called where it is below 0, with a place for points of a hundred.
        loss_unit (`str`, *optional*, defaults to `"samples"`): what `loss` is measured on.
    """

    speed: str
    request: str
    loss: str
    loss_missing: str
    histogram: str
    histogram_axis: str
    dynamic: str
    gain: str = ""
    loss_unit: str = "samples"


class BenchmarkTask(ABC):
    """
    What is asked of models for one kind of task, and what is made of the answers.

    Args:
        models (`Mapping[str, Path]`): directories by name; the first is the baseline.
        data (`Sequence[str]`): sources.
        arguments ([`BenchmarkArguments`]): of the run.

    Attributes:
        items (`list[str]`): what there is to run, by name. Set when it is made.
        data_hash (`str`): of all that is used of the data.
    """

    texts: Texts
    columns: ClassVar[tuple[Column, ...]]
    items: list[str]
    data_hash: str

    def __init__(self, models: Mapping[str, Path], data: Sequence[str], arguments: BenchmarkArguments):
        self.models, self.arguments = dict(models), arguments
        self.baseline = next(iter(self.models))

    @property
    def ov_config(self) -> dict[str, str]:
        """OpenVINO properties beside those of the precision."""
        threads = self.arguments.threads
        return {} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}

    @abstractmethod
    def load(self, systems: Sequence[System]) -> None:
        """Loads all models that the systems need."""

    @abstractmethod
    def run(self, system: System, item: str, warm_up: bool = False, first: bool = True) -> dict[str, Any]:
        """
        One run.

        Args:
            system (`System`): what runs.
            item (`str`): of `items`, or `warm_up_items()`.
            warm_up (`bool`): nothing is made of the answer.
            first (`bool`): whether it is the first repeat, whose answer alone need be kept where it is large.

        Returns:
            `dict[str, Any]`: what JSON can hold; `seconds` is wall clock time.
        """

    def warm_up_items(self) -> list[str]:
        """What systems run before anything is timed."""
        return self.items[:1]

    def measure_quality(self, systems: Sequence[System], records: Records[dict[str, Any]]) -> None:  # noqa: B027
        """Measures what has nothing to do with time and keeps records of it too."""

    @abstractmethod
    def workloads(self) -> dict[str, list[str]]:
        """The items by what they are reported together as; the first leads, the others look at it more closely."""

    @abstractmethod
    def figures(self, system: System, items: Sequence[str], records: Records[dict[str, Any]]) -> dict[str, Any]:
        """
        The figures of one system.

        Args:
            system (`System`): whose.
            items (`Sequence[str]`): over which.
            records ([`Records`]): of all systems.

        Returns:
            `dict[str, Any]`: `speed` in the unit of `texts`; `latency_ms` and `latency_p99_ms` of a request; `loss`,
            `None` if unknown, with `loss_interval` (95%; `None` of too few samples), `loss_samples` (0 where nothing
            can be lost) and `loss_variance`, as [`~utils.losses.Loss`] gives them; `histogram`, `None` or counts by
            what they are of; `warnings`; what `columns` name; and `remark`, if there is something to say where it is
            the fastest.
        """

    def images(self, systems: Sequence[System], records: Records[dict[str, Any]]) -> list[dict[str, str]]:
        """Pictures for the report: `title` and `png`, base64."""
        return []

    def described(self) -> dict[str, Any]:
        """What reports need to know of the task."""
        return {"texts": asdict(self.texts), "columns": [asdict(column) for column in self.columns]}
