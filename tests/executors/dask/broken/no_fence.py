"""A Dask worker that starts whatever Dask gives it, whether it is the first or not.

Two further safeguards would hide that on one machine: the log, which is made once, and the first
one's warden, which ends whatever carries the claim.
"""

from spoolq.executors.dask import attempt
from spoolq.executors.dask.keeper import Attempt, Keeper
from spoolq.executors.dask.warden import Warden

attempt._in_sight = lambda spec: None
Warden._tell = lambda self, line: None
Keeper.may_start = lambda self, attempt: True
Attempt.look = lambda self: None
