"""All scenarios, once the modules that hold them have been imported."""

from . import (
    scenarios_breaking,
    scenarios_drops,
    scenarios_hosts,
    scenarios_people,
    scenarios_waits,
    scenarios_workers,
)
from .registry import BREAKING, LARGE, SCENARIOS

__all__ = [
    "BREAKING",
    "LARGE",
    "SCENARIOS",
    "scenarios_breaking",
    "scenarios_drops",
    "scenarios_hosts",
    "scenarios_people",
    "scenarios_waits",
    "scenarios_workers",
]
