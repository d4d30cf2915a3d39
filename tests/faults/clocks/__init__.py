"""Clocks: the time is set back, ahead by years, and to and fro, under workers and producers."""

from . import stepping

CASES = stepping.CASES
