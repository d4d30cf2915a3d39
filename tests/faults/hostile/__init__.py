"""Hostile entries, documents, commands and surroundings, among good jobs and live workers."""

from . import children, documents, entries, surroundings, terminal, versions

CASES = [
    *documents.CASES,
    *entries.CASES,
    *children.CASES,
    *surroundings.CASES,
    *terminal.CASES,
    *versions.CASES,
]
