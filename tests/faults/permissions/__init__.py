"""Other users: their files, directories, links and umasks, and their races against workers."""

from . import racing, refusing

CASES = [*refusing.CASES, *racing.CASES]
