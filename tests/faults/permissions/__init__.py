"""Other users: their files, directories, links and umasks, and their races against workers."""

from . import changing, linking, lists, racing, refusing

CASES = [*refusing.CASES, *lists.CASES, *changing.CASES, *linking.CASES, *racing.CASES]
