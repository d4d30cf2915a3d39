"""Events: file events that are lost, too many, refused, or of a directory that is another now."""

from . import breaking, losing, moving

CASES = [*losing.CASES, *breaking.CASES, *moving.CASES]
