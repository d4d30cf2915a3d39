"""Storms: workers and producers killed at random, and commands that do all they can to survive."""

from . import commands, droppers, kills, memory

CASES = [*kills.CASES, *droppers.CASES, *commands.CASES, *memory.CASES]
