"""Events: file events that are lost, too many, refused, or of a directory that is another now."""

from . import losing, moving

CASES = [*losing.CASES, *moving.CASES]
