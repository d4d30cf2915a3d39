"""Storms: workers and producers killed at random, and commands that do all they can to survive."""

from . import commands, kills, memory

CASES = [*kills.CASES, *commands.CASES, *memory.CASES]
