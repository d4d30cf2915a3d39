"""The list of scenarios, filled by the modules that hold them.

A scenario makes a problem of some rules; its docstring is the fact that it must show.
"""

from typing import Callable, Dict

from .explore import Problem
from .rules import Rules

Scenario = Callable[[Rules], Problem]

SCENARIOS: Dict[str, Scenario] = {}  # those that the test suite explores
LARGE: Dict[str, Scenario] = {}  # those for `python -m tests.model --large`
BREAKING: Dict[str, Scenario] = {}  # those in which something must be found


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under its name."""
    SCENARIOS[function.__name__] = function
    return function


def large_scenario(function: Scenario) -> Scenario:
    """Register a scenario that takes minutes."""
    LARGE[function.__name__] = function
    return function


def breaking_scenario(function: Scenario) -> Scenario:
    """Register a scenario that breaks the rules, or shows a limit: it must be caught."""
    BREAKING[function.__name__] = function
    return function
