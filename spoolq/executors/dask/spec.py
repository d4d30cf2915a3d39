"""What is told of an attempt to the Dask worker that runs it, and what that tells of its end.

Both are texts of JSON: Dask looks for its keys in a task's arguments and puts results in their
place, which it cannot do inside a text.
"""

from __future__ import annotations

import json
from typing import Dict, List, NamedTuple, Optional

#: How long a command may run on when nobody has confirmed for so long that it is still wanted.
LEASE, LOCAL_LEASE = 20.0, 5.0


class Spec(NamedTuple):
    """One attempt. `variables` are its own, put over those of the Dask worker; times in seconds."""

    claim: str
    log: str
    spool: str
    words: List[str]
    variables: Dict[str, str]
    cwd: Optional[str]
    timeout: Optional[float]
    max_log: Optional[int]
    grace: float
    lease: float

    def text(self) -> str:
        """Return it as text."""
        return json.dumps(self._asdict())

    @classmethod
    def read(cls, text: str) -> Spec:
        """Return what a text says."""
        return cls(**json.loads(text))


class Told(NamedTuple):
    """How an attempt ended on its Dask worker.

    `is_sure` is False where that cannot say whether something of the attempt still runs: it was
    not the first to start it, or it was not sure any more that it was wanted.
    """

    exit_code: Optional[int] = None
    signal: Optional[int] = None
    error: Optional[str] = None
    is_sure: bool = True

    def text(self) -> str:
        """Return it as text."""
        return json.dumps(self._asdict())

    @classmethod
    def read(cls, text: str) -> Told:
        """Return what a text says."""
        return cls(**json.loads(text))


def key(claim: str) -> str:
    """Return the key of an attempt's task; no other attempt ever has it."""
    return f"spoolq-{claim}"
