"""A Dask worker that starts whatever Dask gives it, whether it is the first or not."""

from spoolq.executors.dask import attempt
from spoolq.executors.dask.keeper import Attempt, Keeper

attempt._in_sight = lambda spec: None  # there its log would be made once, whatever it was told
Keeper.may_start = lambda self, attempt: True
Attempt.look = lambda self: None
