"""When a step may do without the network: one criterion a file."""

from .base import ReuseCriterion
from .interval import Interval
from .third_order import ThirdOrder


CRITERIA: dict[str, type[ReuseCriterion]] = {criterion.name: criterion for criterion in (Interval, ThirdOrder)}
