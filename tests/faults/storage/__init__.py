"""Storage: disks that are full, slow, read-only, failing, gone, or another under a worker."""

from . import broken, failing, full, gone, quotas, shutting, slow

CASES = [
    *full.CASES,
    *gone.CASES,
    *broken.CASES,
    *shutting.CASES,
    *slow.CASES,
    *failing.CASES,
    *quotas.CASES,
]
