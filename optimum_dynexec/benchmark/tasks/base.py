"""The interface of a task that can be measured."""

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
    A column for a figure in tables.

    Args:
        key (`str`): key of the figure.
        title (`str`): title of the column.
        format (`str`): format string for `str.format`.
        help (`str`): explanation of the figure.
        interval (`str`, *optional*): key of the 95% interval.
    """

    key: str
    title: str
    format: str
    help: str
    interval: str = ""


@dataclass(frozen=True)
class Texts:
    """
    The names of a task's figures in reports.

    Args:
        speed (`str`): unit of `speed`.
        request (`str`): name of one run.
        loss (`str`): name of `loss`.
        loss_missing (`str`): reason why there is no loss, and how to get it.
        histogram (`str`): title of the histogram.
        histogram_axis (`str`): label of the histogram's axis.
        dynamic (`str`): name of dynamic execution for the task.
        gain (`str`, *optional*): name of a `loss` below 0, with a place for percentage points.
        loss_unit (`str`, *optional*, defaults to `"samples"`): name of the units that `loss` is measured on.
        items (`str`, *optional*, defaults to `"prompts"`): name of the items of a workload.
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
    items: str = "prompts"


class BenchmarkTask(ABC):
    """
    Runs the models of one kind of task and computes the figures.

    Args:
        models (`Mapping[str, Path]`): directories by name; the first is the baseline.
        data (`Sequence[str]`): sources of the data.
        arguments ([`BenchmarkArguments`]): arguments of the run.

    Attributes:
        items (`list[str]`): names of the items to run. The constructor sets them.
        data_hash (`str`): hash of the data that is used.
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
        """OpenVINO properties in addition to those of the precision."""
        threads = self.arguments.threads
        return {} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}

    @abstractmethod
    def load(self, systems: Sequence[System]) -> None:
        """Loads all models that the systems need."""

    @abstractmethod
    def run(self, system: System, item: str, warm_up: bool = False, first: bool = True) -> dict[str, Any]:
        """
        Runs a system on an item.

        Args:
            system (`System`): system to run.
            item (`str`): one of `items` or `warm_up_items()`.
            warm_up (`bool`): whether the run is a warm-up, whose answer is not used.
            first (`bool`): whether it is the first repeat. Large answers need only be kept for the first repeat.

        Returns:
            `dict[str, Any]`: the record as JSON values; `seconds` is wall-clock time.
        """

    @abstractmethod
    def work(self, record: dict[str, Any]) -> int:
        """The work of a run in the unit of `texts.speed`, for example its number of tokens."""

    def warm_up_items(self) -> list[str]:
        """The items that each system runs before anything is timed."""
        return self.items[:1]

    def measure_quality(self, systems: Sequence[System], records: Records[dict[str, Any]]) -> None:  # noqa: B027
        """Measures the quality that does not depend on the timed runs, and keeps records of it."""

    @abstractmethod
    def workloads(self) -> dict[str, list[str]]:
        """The items of each workload by its name. The first workload is the main one in the report."""

    @abstractmethod
    def figures(self, system: System, items: Sequence[str], records: Records[dict[str, Any]]) -> dict[str, Any]:
        """
        Computes the figures of one system.

        Args:
            system (`System`): system to compute the figures of.
            items (`Sequence[str]`): items of the workload.
            records ([`Records`]): records of all systems.

        Returns:
            `dict[str, Any]`: `speed` in the unit of `texts`; `latency_ms` and `latency_p99_ms` of a request; `loss`,
            `None` if unknown, with `loss_interval` (95%; `None` if there are too few samples), `loss_samples` (0 if
            nothing can be lost) and `loss_variance`, from [`~utils.losses.Loss`]; `histogram`, `None` or counts by
            their label; `warnings`; the figures of `columns`; and an optional `remark`, shown if the system is the
            fastest.
        """

    def images(self, systems: Sequence[System], records: Records[dict[str, Any]]) -> list[dict[str, str]]:
        """Images for the report, with `title` and `png` in base64."""
        return []

    def described(self) -> dict[str, Any]:
        """The texts and columns of the task for reports."""
        return {"texts": asdict(self.texts), "columns": [asdict(column) for column in self.columns]}
