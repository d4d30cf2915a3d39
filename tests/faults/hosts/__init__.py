"""Hosts: one spool, shared over NFS by machines that die, are cut off, or disagree."""

from . import alike, controls, dying, local, losing, many, parted, serving

CASES = [
    *many.CASES,
    *dying.CASES,
    *parted.CASES,
    *serving.CASES,
    *alike.CASES,
    *losing.CASES,
    *local.CASES,
    *controls.CASES,
]
