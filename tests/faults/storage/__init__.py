"""Storage: disks that are full, slow, read-only, failing, gone, or another under a worker."""

from . import broken, full, gone

CASES = [*full.CASES, *gone.CASES, *broken.CASES]
