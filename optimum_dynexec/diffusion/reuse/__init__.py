"""Criteria for steps that skip the network, one per file."""

from .base import ReuseCriterion
from .interval import Interval
from .third_order import ThirdOrder


CRITERIA: dict[str, type[ReuseCriterion]] = {criterion.name: criterion for criterion in (Interval, ThirdOrder)}
