"""Forwarding that is killed: at each file operation of either side, and at random moments."""

from .looping import CASES as _LOOP
from .storm import CASES as _STORM

CASES = [*_LOOP, *_STORM]
