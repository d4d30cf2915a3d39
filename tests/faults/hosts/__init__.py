"""Hosts: one spool, shared over NFS by machines that die, are cut off, or disagree."""

from . import dying, many, parted

CASES = [*many.CASES, *dying.CASES, *parted.CASES]
