"""A Dask worker that has no warden."""

from spoolq.executors.dask.warden import Warden

Warden._tell = lambda self, line: None
